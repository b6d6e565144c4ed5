#!/usr/bin/env bash
# Links for macOS with the Rust toolchain's own lld. Apple's SDK is not there, so every framework and system library
# that is asked for gets a stub which names where it lies on a Mac; its symbols are looked up at launch.
set -eu

macos=$(cd "$(dirname "$0")/.." && pwd)
sdk="$macos/sdk"

stub() {
  local file=$1 install_name=$2
  [ -f "$file" ] && return
  mkdir -p "$(dirname "$file")"
  printf -- '--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\ninstall-name: "%s"\n...\n' "$install_name" >"$file.$$"
  mv "$file.$$" "$file"
}

previous=
for argument in "$@"; do
  if [ "$previous" = -framework ]; then
    case $argument in
      AppKit | Foundation | CoreData) version=C ;;
      *) version=A ;;
    esac
    stub "$sdk/System/Library/Frameworks/$argument.framework/$argument.tbd" \
      "/System/Library/Frameworks/$argument.framework/Versions/$version/$argument"
  fi
  case $argument in
    -lSystem | -lc | -lm | -lpthread | -ldl) stub "$sdk/usr/lib/lib${argument#-l}.tbd" /usr/lib/libSystem.B.dylib ;;
    -lobjc) stub "$sdk/usr/lib/libobjc.tbd" /usr/lib/libobjc.A.dylib ;;
    -lc++) stub "$sdk/usr/lib/libc++.tbd" /usr/lib/libc++.1.dylib ;;
    -liconv) stub "$sdk/usr/lib/libiconv.tbd" /usr/lib/libiconv.2.dylib ;;
  esac
  previous=$argument
done
exec "$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld" "$@"
