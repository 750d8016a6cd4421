#!/bin/sh
# Makes sure that this machine has what a target needs, or says what to install.
# usage: need.sh PYTHON WHAT...      WHAT is venv or postfix
set -eu

python=$1
shift

have() {
    case $1 in
    venv) "$python" -c 'import ensurepip, venv' 2>/dev/null ;;
    postfix) PATH="$PATH:/usr/sbin" command -v postfix >/dev/null ;;
    esac
}

package() {
    case $1 in
    venv) echo python3-venv ;;
    postfix) echo postfix ;;
    esac
}

missing=
for each in "$@"; do
    have "$each" || missing="$missing $(package "$each")"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing:$missing. Install it (apt-get install$missing) and try again." >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # a list of packages
apt-get install -y -qq --no-install-recommends $missing >/dev/null
for each in "$@"; do
    have "$each" || { echo "$(package "$each") is still missing" >&2; exit 1; }
done
