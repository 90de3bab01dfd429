#!/bin/sh
# Usage: native/sysroot.sh DIR
#
# Makes DIR a private root with whisper.cpp, llama.cpp and their one shared ggml, out of a newer Debian's (or Ubuntu's)
# binary packages: for machines whose own release has no libwhisper-dev. The packages come from the mirror that this
# machine's apt is already set up with, and apt checks their signatures as ever. Nothing outside DIR is touched and no
# root is needed. DIR appears only when it is complete.
#
#   DIR/root          the unpacked packages
#   DIR/link          what the official Go binding's linker flags ask for beside them
#   DIR/packages.txt  package, version and architecture of each
#   DIR/env.sh        the environment in which `go build ./cmd/banter-engine` finds all this
#
# Environment: BANTER_SUITE (a suite to take instead of those tried), BANTER_MIRROR (instead of the configured mirror).
set -eu

say() { printf 'native: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

dir=${1:?usage: native/sysroot.sh DIR}
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
[ -r /etc/os-release ] || die "this is no Debian or Ubuntu: /etc/os-release is missing"
. /etc/os-release
case "${ID-} ${ID_LIKE-}" in
*ubuntu*) keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg components='main universe' suites='resolute devel' ;;
*debian*) keyring=/usr/share/keyrings/debian-archive-keyring.gpg components=main suites='forky sid' ;;
*) die "this is no Debian or Ubuntu but ${PRETTY_NAME-an unknown system}" ;;
esac
suites=${BANTER_SUITE-$suites}
for tool in apt-get dpkg dpkg-deb ar; do
	command -v "$tool" >/dev/null || die "$tool is missing; install the packages apt, dpkg and binutils"
done
[ -r "$keyring" ] || die "$keyring is missing; install the package $(basename "$keyring" .gpg)"

arch=$(dpkg --print-architecture)
case $arch in
amd64) triplet=x86_64-linux-gnu loader=lib64/ld-linux-x86-64.so.2 ;;
arm64) triplet=aarch64-linux-gnu loader=lib/ld-linux-aarch64.so.1 ;;
*) die "no packages are known for $arch (only amd64 and arm64)" ;;
esac

# The mirror of this release's main archive; security updates and vendors' archives live elsewhere.
mirror=${BANTER_MIRROR-$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
	awk -v release="${VERSION_CODENAME-}" '$1 == release { print $2; exit }')}
[ -n "$mirror" ] || die "apt has no mirror set up for ${VERSION_CODENAME-this release}; name one in BANTER_MIRROR"

mkdir -p "$(dirname "$dir")"
new=$(mktemp -d "$dir.new.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT TERM
apt=$new/apt root=$new/root
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$root"
: >"$apt/status"

# The machine's apt settings (proxies among them) stay in force but for what is named here. Its hooks are cleared: they
# are written for the real system. An empty status file makes apt name every package that the libraries need.
cat >"$apt/apt.conf" <<CONF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Debug::NoLocking "1";
APT::Sandbox::User "";
APT::Install-Recommends "0";
APT::Get::AllowUnauthenticated "0";
APT::Default-Release "";
Acquire::AllowInsecureRepositories "0";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
privately() { apt-get -c="$apt/apt.conf" -qq -y "$@"; }

found=
for suite in $suites; do
	echo "deb [arch=$arch signed-by=$keyring] $mirror $suite $components" >"$apt/sources.list"
	rm -rf "$apt/lists" "$apt/archives"
	mkdir -p "$apt/lists/partial" "$apt/archives/partial"
	if ! privately update >"$apt/log" 2>&1; then
		say "the mirror's suite $suite cannot be read: $(tail -n 1 "$apt/log")"
		continue
	fi
	if ! privately --download-only install libwhisper-dev libllama-dev libc6-dev patchelf >"$apt/log" 2>&1; then
		say "suite $suite does not give libwhisper-dev and libllama-dev: $(tail -n 1 "$apt/log")"
		continue
	fi
	found=$suite
	break
done
[ -n "$found" ] || die "no suite ($suites) of the configured mirror has the libraries; set BANTER_SUITE, or build \
whisper.cpp and llama.cpp with cmake against one ggml and let pkg-config find them"

# One tree, as the distributions have had it for years: /lib is /usr/lib.
for d in lib lib64 bin sbin; do
	mkdir -p "$root/usr/$d"
	ln -s "usr/$d" "$root/$d"
done
for deb in "$apt"/archives/*.deb; do
	dpkg-deb -x "$deb" "$root"
	dpkg-deb -f "$deb" Package Version Architecture | awk '{ v[NR] = $2 } END { print v[1], v[2], v[3] }'
done | LC_ALL=C sort >"$new/packages.txt"

libs=$root/usr/lib/$triplet
for f in "$root/$loader" "$libs/libwhisper.so" "$libs/libllama.so" "$libs/libggml.so" "$libs/pkgconfig/whisper.pc" \
	"$libs/pkgconfig/llama.pc" "$libs/pkgconfig/ggml.pc"; do
	[ -e "$f" ] || die "the packages of $found lack ${f#"$root"}"
done

# A library with its own DT_RUNPATH does not see its executable's DT_RPATH: its dependencies would then come from the
# machine's older release, or not at all. The unpacked patchelf runs on the unpacked C library.
for f in "$libs"/libwhisper.so.* "$libs"/libllama.so.* "$libs"/libggml*.so.*; do
	[ -L "$f" ] || [ ! -f "$f" ] || "$root/$loader" --library-path "$libs" "$root/usr/bin/patchelf" --remove-rpath "$f"
done

# The official Go binding asks the linker for -lggml-cpu and -lstdc++. The first is a plug-in here, loaded at run time:
# an empty archive answers for it. The second has no development package in the root.
mkdir "$new/link"
ar rc "$new/link/libggml-cpu.a"
ln -s "../root/usr/lib/$triplet/libstdc++.so.6" "$new/link/libstdc++.so"
ln -s "../root/usr/lib/$triplet/libgomp.so.1" "$new/link/libgomp.so"

cat >"$new/env.sh" <<ENV
export CGO_ENABLED=1
export CC="gcc --sysroot=$dir/root"
export PKG_CONFIG_SYSROOT_DIR="$dir/root" PKG_CONFIG_LIBDIR="$dir/root/usr/lib/$triplet/pkgconfig" PKG_CONFIG_PATH=
export CGO_LDFLAGS="-L$dir/link -L$dir/root/usr/lib/$triplet -Wl,--disable-new-dtags,-rpath,$dir/root/usr/lib/$triplet,--dynamic-linker=$dir/root/$loader"
ENV

rm -rf "$apt" "$root/usr/share/doc" "$root/usr/share/man"
rm -rf "$dir"
mv "$new" "$dir"
trap - EXIT
say "made $dir from $found: $(awk '/^lib(whisper1|llama0|ggml0) / { printf "%s%s %s", sep, $1, $2; sep = ", " }' "$dir/packages.txt")"
