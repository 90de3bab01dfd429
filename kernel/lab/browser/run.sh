#!/bin/sh
# Usage: kernel/lab/browser/run.sh [NOTEBOOK...]
#
# Starts JupyterLab with this project's kernel and drives it in a headless Chromium (see browse.mjs). Notebooks are paths
# below notebooks/; they are run as copies. Screenshots go to out/browser. Needs Chromium, Node.js and npm, and fetches
# playwright-core, which brings no browser of its own, into .venv once.
#
# Environment: CHROMIUM (the browser), KERNEL (the kernel's name; default banter), SCRIPT (what drives the browser: browse.mjs,
# which is the default, or displays.mjs).
set -eu

root=$(cd "$(dirname "$0")/../../.." && pwd -P)
cd "$root"
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$CHROMIUM" ] || { echo "browser: Chromium is missing: apt-get install chromium" >&2; exit 1; }
command -v npm >/dev/null || { echo "browser: npm is missing: apt-get install npm" >&2; exit 1; }
sh kernel/lab/lab.sh setup
tools=$root/.venv/browser
PLAYWRIGHT=$tools/node_modules/playwright-core
[ -d "$PLAYWRIGHT" ] || npm install --silent --no-audit --no-fund --prefix "$tools" playwright-core@1.65.1 >/dev/null
export CHROMIUM PLAYWRIGHT

work=$(mktemp -d)
server=
finish() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	[ -z "$server" ] || wait "$server" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT INT TERM
[ ! -d notebooks ] || cp -R notebooks/. "$work"
export JUPYTER_CONFIG_DIR="$work/.config" JUPYTER_DATA_DIR="$work/.data" JUPYTER_RUNTIME_DIR="$work/.runtime" \
	JUPYTERLAB_SETTINGS_DIR="$work/.settings" JUPYTERLAB_WORKSPACES_DIR="$work/.workspaces" XDG_STATE_HOME="$work/.state"
.venv/bin/jupyter lab --allow-root --no-browser --ServerApp.ip=127.0.0.1 --ServerApp.port=0 --ServerApp.root_dir="$work" \
	--LabApp.expose_app_in_browser=True >"$work/.log" 2>&1 &
server=$!
address=
for _ in $(seq 300); do
	address=$(grep -o 'http://127.0.0.1:[0-9]*/lab?token=[0-9a-f]*' "$work/.log" | head -n 1 || true)
	[ -z "$address" ] || break
	kill -0 "$server" || { cat "$work/.log" >&2; exit 1; }
	sleep 0.1
done
status=0
node "kernel/lab/browser/${SCRIPT:-browse.mjs}" "$address" "${KERNEL:-banter}" out/browser "$@" || status=$?
mkdir -p out/browser
cp "$work/.log" out/browser/server.log
exit $status
