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

# python, board: written by `edgeface boards pack`
. ./bundle.env

fail() { echo "error: $*" >&2; exit 1; }

if [ "$any_machine" = no ]; then
  machine=$(uname -m)
  [ "$machine" = aarch64 ] || fail "machine must be aarch64, but got $machine (a 64-bit kernel AND a 64-bit system are needed)"
fi
sha256sum --quiet -c SHA256SUMS || fail "the files must be as they were packed, but some are damaged (see above)"
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
