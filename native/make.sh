#!/bin/sh
# Usage: native/make.sh
#
# Builds bin/banter-engine, the worker that holds whisper.cpp and llama.cpp. The libraries are those that pkg-config
# finds; where the distribution has none, native/sysroot.sh makes a private copy under .native. A second call does
# nothing but ask Go whether the program is up to date.
#
# Environment: BANTER_NATIVE=system (never make a private copy) or =private (never use the system's libraries).
set -eu

say() { printf 'native: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

root=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$root"
native=$root/.native
mkdir -p "$native" bin

case $(uname -s) in
Linux) install='Debian forky or newer, Ubuntu 26.04 or newer: apt install libwhisper-dev libllama-dev' ;;
Darwin) install='brew install ggml whisper-cpp llama.cpp pkgconf' ;;
*) install='Linux or macOS is needed (on Windows: WSL 2)' ;;
esac
command -v go >/dev/null || die "Go is missing; see https://go.dev/doc/install"

# have TOOL PACKAGE: TOOL is there, or is installed where that can be done without asking.
have() {
	command -v "$1" >/dev/null && return
	if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
		say "installing the package $2 for $1"
		apt-get install -qq -y -o DPkg::Lock::Timeout=120 "$2" >/dev/null 2>&1 ||
			{ apt-get update -qq && apt-get install -qq -y -o DPkg::Lock::Timeout=120 "$2" >/dev/null; } ||
			die "$1 is missing and apt-get could not install $2"
	elif command -v apt-get >/dev/null; then
		die "$1 is missing; run: sudo apt-get install $2"
	elif command -v brew >/dev/null; then
		die "$1 is missing; run: xcode-select --install; brew install pkgconf"
	else
		die "$1 is missing; install a C compiler, binutils and pkg-config"
	fi
}
have gcc gcc
have ar binutils
have pkg-config pkg-config

if [ "${BANTER_NATIVE-}" != private ] && pkg-config --exists whisper llama ggml; then
	# The official Go binding asks the linker for -lggml-cpu too, which distributions ship as a plug-in: an empty archive
	# answers where there is no such library.
	mkdir -p "$native/link"
	libdirs=$(pkg-config --libs-only-L whisper llama ggml)
	if ! printf 'int main(void){return 0;}' | ${CC:-gcc} -x c - -o "$native/link/probe" $libdirs -lggml-cpu 2>/dev/null; then
		rm -f "$native/link/libggml-cpu.a"
		ar rc "$native/link/libggml-cpu.a"
	fi
	rm -f "$native/link/probe"
	# A private prefix outside the loader's own search path has to be written into the program.
	rpath=$(printf '%s\n' $libdirs | sed -n 's/^-L//p' | sort -u | sed 's/^/-Wl,-rpath,/' | tr '\n' ' ')
	export CGO_ENABLED=1 CGO_LDFLAGS="${CGO_LDFLAGS-} -L$native/link $libdirs $rpath"
	from="the system's libraries"
elif [ "${BANTER_NATIVE-}" = system ]; then
	die "pkg-config does not find whisper, llama and ggml ($install)"
elif command -v apt-get >/dev/null; then
	# A private copy holds its own place's name, so a moved repository makes it anew.
	if [ ! -f "$native/sysroot/env.sh" ] || ! grep -qF "\"gcc --sysroot=$native/sysroot/root\"" "$native/sysroot/env.sh"; then
		say "this release has no whisper.cpp and llama.cpp packages; fetching a newer release's into .native/sysroot (about 20 MB)"
		sh native/sysroot.sh "$native/sysroot"
	fi
	. "$native/sysroot/env.sh"
	from="the private copy in .native/sysroot"
else
	die "pkg-config does not find whisper, llama and ggml. $install. Elsewhere, build them from source, all against one \
ggml: cmake -B build -DBUILD_SHARED_LIBS=ON -DCMAKE_INSTALL_PREFIX=PREFIX [-DGGML_CUDA=ON] in ggml, then whisper.cpp with \
-DWHISPER_USE_SYSTEM_GGML=ON and llama.cpp with -DLLAMA_USE_SYSTEM_GGML=ON; cmake --install build; and set \
PKG_CONFIG_PATH=PREFIX/lib/pkgconfig"
fi

# Go's cache knows nothing of what pkg-config answers with, so another set of libraries is named in the build.
before=$(cksum bin/banter-engine 2>/dev/null || :)
go build -tags native -trimpath -buildvcs=false -o bin/banter-engine ./cmd/banter-engine ||
	die "banter-engine does not build against $from; whisper.cpp 1.9, llama.cpp 0.7 and ggml 0.27 are known to work"
[ "$before" = "$(cksum bin/banter-engine)" ] || say "built bin/banter-engine against $from"
bin/banter-engine -version >/dev/null || die "bin/banter-engine was built but does not start"
