#!/usr/bin/env bash
# Builds a small static ncnn for libedgeface_engine: only the layers that the networks of edgeface have, no Vulkan, no OpenMP, no tools.
#
#   cpp/cross/build_ncnn.sh SOURCE PREFIX [options of cmake, such as -DCMAKE_TOOLCHAIN_FILE=...]
#
# SOURCE: ncnn's unpacked sources (a release's archive, or a checkout; submodules are not needed). LAYERS adds layers of a network of your own.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
source=$(cd "$1" && pwd)
prefix=$2
shift 2

# of the networks, and what ncnn itself puts between layers
layers="input split convolution convolutiondepthwise relu binaryop interp pooling crop padding packing cast flatten innerproduct
  quantize dequantize requantize concat clip gemm ${LAYERS:-}" # gemm: int8 convolutions on x86 borrow from it
# Variants for processors that no board of edgeface has double the time and the size: AVX-512 and its kin, SVE, bfloat16, i8mm.
variants="AVX512 AVXVNNI AVXNECONVERT XOP ARM82FP16FML ARM84BF16 ARM84I8MM ARM86SVE"
options=()
for file in "$source"/src/layer/*.cpp; do
  name=$(basename "$file" .cpp)
  [[ " ${layers//$'\n'/ } " == *" $name "* ]] || options+=("-DWITH_LAYER_$name=OFF")
done
for name in $variants; do options+=("-DNCNN_$name=OFF"); done

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
CXXFLAGS="${CXXFLAGS:-} -w" cmake -Wno-dev -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DCMAKE_INSTALL_PREFIX="$prefix" \
  -DNCNN_SHARED_LIB=OFF -DNCNN_VULKAN=OFF -DNCNN_OPENMP=OFF -DNCNN_PYTHON=OFF -DNCNN_BUILD_TOOLS=OFF -DNCNN_BUILD_EXAMPLES=OFF \
  -DNCNN_BUILD_BENCHMARK=OFF -DNCNN_BUILD_TESTS=OFF -DNCNN_PIXEL=OFF -DNCNN_PIXEL_ROTATE=OFF -DNCNN_PIXEL_AFFINE=OFF \
  -DNCNN_PIXEL_DRAWING=OFF -DNCNN_DISABLE_RTTI=ON -DNCNN_DISABLE_EXCEPTION=ON -DNCNN_BF16=OFF -DNCNN_BATCH=OFF "${options[@]}" "$@"
cmake --build "$build" --parallel "${JOBS:-2}" --target install
