#!/bin/sh
# Installs edgeface from this folder on a board without a network.
#   ./install.sh [--prefix /opt/edgeface] [--service] [--any-machine]
# --service      also installs and enables the systemd unit, which runs `edgeface camera --serve`
# --any-machine  does not insist on 64-bit ARM (for trying the bundle elsewhere)
set -eu
cd "$(dirname "$0")"

prefix=/opt/edgeface
service=no
any_machine=no
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:?--prefix needs a folder}; shift 2 ;;
    --service) service=yes; shift ;;
    --any-machine) any_machine=yes; shift ;;
    *) echo "unknown option $1" >&2; exit 2 ;;
  esac
done

fail() { echo "error: $*" >&2; exit 1; }

# Before anything of this folder is read, let alone run: every file is as it was packed, and there is no other.
sha256sum --quiet --strict -c SHA256SUMS || fail "the files must be as they were packed, but some are damaged (see above)"
packed=$(sed 's/^[0-9a-f]* [ *]//; s|^\./||' SHA256SUMS | sort)
found=$(find . ! -type d ! -path ./SHA256SUMS | sed 's|^\./||' | sort)
[ "$packed" = "$found" ] && [ -z "$(find . ! -type d ! -type f)" ] ||
  fail "the folder must hold the files of SHA256SUMS and no others, but got others: unpack the tar anew"

# Written by `edgeface boards pack`. Read, not run.
setting() { sed -n "s/^$1=//p" bundle.env; }
python=$(setting python) board=$(setting board) requirements=$(setting requirements)
case $python in 3.[0-9] | 3.[0-9][0-9]) ;; *) fail "python in bundle.env must be a version such as 3.11, but got $python" ;; esac
case $board$requirements in *[!a-z0-9\ -]*) fail "bundle.env must hold names, but got $board, $requirements" ;; esac

if [ "$any_machine" = no ]; then
  machine=$(uname -m)
  [ "$machine" = aarch64 ] || fail "machine must be aarch64, but got $machine (a 64-bit kernel AND a 64-bit system are needed)"
fi
interpreter=$(command -v "python$python" || true)
[ -n "$interpreter" ] || fail "python$python must be installed; this bundle is for no other version"

"$interpreter" -m venv --without-pip "$prefix"
# pip runs from its own wheel: Debian's Python has none without python3-venv
set -- wheels/pip-*.whl
"$prefix/bin/python" "$1/pip" --disable-pip-version-check install --quiet --no-index --no-compile --find-links wheels \
  $requirements
mkdir -p "$prefix/share/edgeface"
cp -r models "$board.toml" "$prefix/share/edgeface/"

if [ "$service" = yes ]; then
  sed "s|/opt/edgeface|$prefix|g" edgeface.service > /etc/systemd/system/edgeface.service
  systemctl daemon-reload
  systemctl enable edgeface.service
fi

echo "installed: $prefix/bin/edgeface"
"$prefix/bin/edgeface" doctor || echo "the doctor found something that does not work (see above)" >&2
