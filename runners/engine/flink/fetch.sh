#!/bin/bash
# usage: fetch.sh [DIR]
#
# Fetches a Flink into DIR (default: the user's cache folder), 280 MB: Beam's job
# server, with Maven, and Flink itself, with pip. What is there is not fetched
# again; a folder appears only when it is whole.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/quire/flink}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
work=$(mktemp -d "$dir/.tmp-XXXXXX")
trap 'rm -rf "$work"' EXIT

publish() { # a second fetch at the same time may have been faster
  mv -T "$work/$1" "$dir/$1" 2>/dev/null || [ -e "$dir/$1" ]
}

if [ ! -e "$dir/jobserver" ]; then
  mvn -q -B -f "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$work/jobserver" >&2
  publish jobserver
fi
if [ ! -e "$dir/flink" ]; then
  # A source distribution whose deps/lib is Flink's own lib/.
  python3 -m pip download -q --no-deps --no-binary :all: -d "$work/sdist" apache-flink-libraries==1.19.3 >&2
  mkdir "$work/flink"
  tar xzf "$work"/sdist/apache*flink*libraries-1.19.3.tar.gz -C "$work/flink" --strip-components=3 --wildcards \
    '*/deps/lib/flink-dist-*' '*/deps/lib/log4j-core*' '*/deps/lib/log4j-api*' '*/deps/lib/log4j-slf4j-impl*'
  publish flink
fi
echo "$dir"
