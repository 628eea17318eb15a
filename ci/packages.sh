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

as_root() {
  if [ "$EUID" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

apt() {
  local through=(env) variable
  if [ "$EUID" -ne 0 ]; then
    for variable in http_proxy https_proxy no_proxy; do # sudo forgets them
      [ -z "${!variable:-}" ] || through+=("$variable=${!variable}")
    done
    through=(sudo "${through[@]}")
  fi
  "${through[@]}" DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

# Install packages; the package lists are fetched anew only where the ones at hand do not do.
install_packages() {
  local log status=0
  log=$(mktemp)
  say "installing $*"
  forbid_services
  apt install -y --no-install-recommends "$@" >"$log" 2>&1 ||
    { apt update && apt install -y --no-install-recommends "$@"; } >"$log" 2>&1 || status=1
  allow_services
  [ "$status" -eq 0 ] || tail -n 15 -- "$log" >&2
  rm -f -- "$log"
  return "$status"
}

# Debian starts a service when its package is installed, unless this file says no (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
policy_is_ours=no

forbid_services() {
  [ ! -e "$policy" ] || return 0 # the machine's own, such as a container image's
  trap allow_services EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  policy_is_ours=yes
  as_root chmod 755 "$policy"
}

allow_services() {
  [ "$policy_is_ours" = yes ] || return 0
  as_root rm -f -- "$policy"
  policy_is_ours=no
}

# What was installed for the tests is not to start with the machine either.
disable_services() {
  local package
  have systemctl || return 0
  for package in "$@"; do
    case $package in
    redis-server | nginx) as_root systemctl --quiet disable "$package.service" 2>/dev/null || true ;;
    esac
  done
}
