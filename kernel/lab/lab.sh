#!/bin/sh
# Usage: kernel/lab/lab.sh [setup | run ARGUMENT...]
#
# Without arguments: opens notebooks/ in JupyterLab with this project's kernel. Arguments of `run` go to JupyterLab.
# `setup` only makes what that needs: a private virtual environment in .venv with the versions of requirements.txt, and
# the kernel in it. A second call finds everything there.
#
# Environment: BANTER_PYTHON (the Python to use; default python3). JupyterLab listens on 127.0.0.1 and asks for a token,
# which is in the address that it prints.
set -eu

say() { printf 'lab: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

root=$(cd "$(dirname "$0")/../.." && pwd -P)
cd "$root"
venv=$root/.venv
wanted=kernel/lab/requirements.txt
python=${BANTER_PYTHON:-python3}

# install PACKAGE...: with the system's package manager, where that can be done without asking.
install() {
	if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
		say "installing $* with apt-get"
		apt-get install -qq -y -o DPkg::Lock::Timeout=120 "$@" >/dev/null 2>&1 ||
			{ apt-get update -qq && apt-get install -qq -y -o DPkg::Lock::Timeout=120 "$@" >/dev/null; } ||
			die "apt-get could not install $*"
	elif command -v apt-get >/dev/null; then
		die "something is missing; run: sudo apt-get install $*"
	elif command -v dnf >/dev/null; then
		die "something is missing; run: sudo dnf install python3 python3-pip"
	elif command -v brew >/dev/null; then
		die "something is missing; run: brew install python"
	else
		die "Python 3.10 or newer, with its venv module, is missing; see https://www.python.org/downloads/"
	fi
}

setup() {
	stamp=$venv/.banter
	if ! { [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && cmp -s "$stamp" "$wanted" && "$venv/bin/python" -c '' 2>/dev/null; }; then
		command -v "$python" >/dev/null || install python3 python3-venv
		"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
			die "$python is $("$python" -V 2>&1): Python 3.10 or newer is needed; name one in BANTER_PYTHON"
		# Debian packs venv apart from Python, and says so only when it is used.
		"$python" -c 'import venv, ensurepip' 2>/dev/null || install python3-venv
		say "making .venv with JupyterLab (once; about a minute)"
		rm -rf "$venv"
		"$python" -m venv "$venv"
		"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted" ||
			die "pip could not install the packages of $wanted"
		# JupyterLab would ask each user whether it may fetch news over the network.
		mkdir -p "$venv/share/jupyter/lab/settings"
		printf '%s\n' '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}' \
			>"$venv/share/jupyter/lab/settings/overrides.json"
		cp "$wanted" "$stamp"
	fi
	[ -x bin/recipe ] || die "bin/recipe is missing; run: make build"
	bin/recipe kernel install --prefix "$venv" >/dev/null
}

case ${1-} in
setup)
	setup
	;;
'' | run)
	[ $# -eq 0 ] || shift
	setup
	mkdir -p notebooks
	# Settings and run-time files stay in the environment: an installation of JupyterLab elsewhere is not touched.
	export JUPYTER_CONFIG_DIR="$venv/etc/jupyter-user" JUPYTER_DATA_DIR="$venv/share/jupyter-user" \
		JUPYTER_RUNTIME_DIR="$venv/var/jupyter" JUPYTERLAB_SETTINGS_DIR="$venv/etc/lab-settings" \
		JUPYTERLAB_WORKSPACES_DIR="$venv/etc/lab-workspaces" PATH="$venv/bin:$root/bin:$PATH"
	as_root=
	[ "$(id -u)" != 0 ] || as_root=--allow-root # a container or a sandbox
	exec "$venv/bin/jupyter" lab $as_root --ServerApp.ip=127.0.0.1 --ServerApp.root_dir="$root/notebooks" "$@"
	;;
*)
	die "unknown argument $1; see the head of $0"
	;;
esac
