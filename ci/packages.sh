# shellcheck shell=bash
# System packages through apt-get, as root or through sudo: sourced by ci/setup and ci/board.
#
# Which package indexes are used, and through which proxy, is left to the machine's own configuration.
# Who sources it has a function `say` for what is told.

have() { command -v "$1" >/dev/null 2>&1; }

# May this user install packages?  A password is asked for only where somebody can type it.
may_install() {
  have apt-get || return 1
  [ "$EUID" -eq 0 ] && return 0
  have sudo || return 1
  sudo -n true 2>/dev/null && return 0
  [ -t 0 ] && [ -z "${CI:-}" ] && say "sudo may ask for your password to install: $*" && sudo true
}

apt() {
  local through=() variable
  if [ "$EUID" -ne 0 ]; then
    through=(sudo env)
    for variable in http_proxy https_proxy no_proxy; do # sudo forgets them
      [ -z "${!variable:-}" ] || through+=("$variable=${!variable}")
    done
  else
    through=(env)
  fi
  "${through[@]}" DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

# Install packages; the package lists are fetched anew only where the ones at hand do not do.
install_packages() {
  local log
  log=$(mktemp)
  say "installing $*"
  if apt install -y --no-install-recommends "$@" >"$log" 2>&1 ||
    { apt update && apt install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
    rm -f -- "$log"
  else
    tail -n 15 -- "$log" >&2
    rm -f -- "$log"
    return 1
  fi
}
