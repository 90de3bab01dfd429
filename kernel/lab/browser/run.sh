#!/bin/sh
# Usage: kernel/lab/browser/run.sh [SCRIPT...]
#
# Starts JupyterLab with this project's kernel and drives it in a headless Chromium, by the scripts beside this file: browse
# (run, complete, inspect, interrupt, restart), displays (what values show) and notebooks (all cells of notebooks/, as
# copies, on three of the shipped streams). Without arguments all three. Screenshots go to out/browser.
#
# It wants Chromium, Node.js and npm, and says what is missing. As root on Debian or Ubuntu it installs Chromium by itself.
# playwright-core, which drives the browser and brings none of its own, is fetched from npm into .venv once.
#
# Environment: CHROMIUM (the browser's program), KERNEL (the kernel's name; default banter).
set -eu

say() { printf 'browser: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

root=$(cd "$(dirname "$0")/../../.." && pwd -P)
cd "$root"
scripts=${*:-browse displays notebooks}
for script in $scripts; do
	[ -f "kernel/lab/browser/$script.mjs" ] && [ "$script" != lab ] || die "there is no script $script: say browse, displays or notebooks"
done

find_chromium() { command -v "${CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome || true; }
chromium=$(find_chromium)
if [ -z "$chromium" ]; then
	command -v apt-get >/dev/null || die "Chromium is missing: install it with the system's package manager, or name its program in CHROMIUM"
	[ "$(id -u)" = 0 ] || die "Chromium is missing; run: sudo apt-get install chromium (or name its program in CHROMIUM)"
	say "installing chromium with apt-get"
	apt-get install -qq -y -o DPkg::Lock::Timeout=120 chromium >/dev/null 2>&1 ||
		{ apt-get update -qq && apt-get install -qq -y -o DPkg::Lock::Timeout=120 chromium >/dev/null; } ||
		die "apt-get could not install chromium: install a Chromium yourself, and name its program in CHROMIUM"
	chromium=$(find_chromium)
	[ -n "$chromium" ] || die "the package chromium brought no program of that name"
fi
"$chromium" --version >/dev/null 2>&1 || die "$chromium does not start: try $chromium --version"
command -v node >/dev/null && command -v npm >/dev/null || die "Node.js with npm is missing: apt-get install nodejs npm, or see https://nodejs.org"
sh kernel/lab/lab.sh setup
tools=$root/.venv/browser
version=1.65.1
if [ "$(cat "$tools/version" 2>/dev/null)" != "$version" ]; then
	say "fetching playwright-core $version from npm into .venv"
	npm install --silent --no-audit --no-fund --prefix "$tools" "playwright-core@$version" >/dev/null ||
		die "npm could not fetch playwright-core $version: is its registry within reach? (npm ping)"
	printf '%s\n' "$version" >"$tools/version"
fi
export CHROMIUM="$chromium" PLAYWRIGHT="$tools/node_modules/playwright-core" RECIPE="$root/bin/recipe"

work=$(mktemp -d)
server=
finish() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	[ -z "$server" ] || wait "$server" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/notebooks" "$work/testdata/streams"
cp notebooks/*.ipynb "$work/notebooks"
ln -s "$root/testdata/models" "$work/testdata/models"
for stream in s1 s2 s3; do # enough to see that all cells run
	ln -s "$root/testdata/streams/$stream" "$work/testdata/streams/$stream"
done
export ROOT="$work" JUPYTER_CONFIG_DIR="$work/.config" JUPYTER_DATA_DIR="$work/.data" JUPYTER_RUNTIME_DIR="$work/.runtime" \
	JUPYTERLAB_SETTINGS_DIR="$work/.settings" JUPYTERLAB_WORKSPACES_DIR="$work/.workspaces" XDG_STATE_HOME="$work/.state" \
	BANTER_STORE="$work/.store"
as_root=
[ "$(id -u)" != 0 ] || as_root=--allow-root
.venv/bin/jupyter lab $as_root --no-browser --ServerApp.ip=127.0.0.1 --ServerApp.port=0 --ServerApp.root_dir="$work" \
	--LabApp.expose_app_in_browser=True >"$work/.log" 2>&1 &
server=$!
address=
for _ in $(seq 600); do
	address=$(grep -o 'http://127.0.0.1:[0-9]*/lab?token=[0-9a-f]*' "$work/.log" | head -n 1 || true)
	[ -z "$address" ] || break
	kill -0 "$server" 2>/dev/null || { cat "$work/.log" >&2; die "JupyterLab did not start"; }
	sleep 0.1
done
[ -n "$address" ] || { cat "$work/.log" >&2; die "JupyterLab did not start within a minute"; }
rm -rf out/browser
mkdir -p out/browser
failed=
for script in $scripts; do
	books=
	[ "$script" != notebooks ] || books=$(cd "$work" && ls notebooks/*.ipynb)
	node "kernel/lab/browser/$script.mjs" "$address" "${KERNEL:-banter}" out/browser $books || failed="$failed $script"
done
cp "$work/.log" out/browser/server.log
[ -z "$failed" ] || die "steps failed in$failed; the screenshots and the server's log are in out/browser"
say "all steps passed; the screenshots are in out/browser"
