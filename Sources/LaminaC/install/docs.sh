#!/bin/sh
# Writes the documentation of the Swift modules and, where there is doxygen, of the C headers: docs.sh FOLDER
# The modules are those of the release build, whose tools come with the Swift toolchain.
set -eu
swift=${SWIFT:-swift}
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/../../.."
build=$("$swift" build -c release --show-bin-path)
target=$("${swift}c" -print-target-info | sed -n 's/.*"unversionedTriple": "\(.*\)".*/\1/p')
maps=
for map in "$build/LaminaKernels.build" "$build/LaminaImageShim.build" Sources/CJPEG Sources/CPNG Sources/CZlib include; do
  maps="$maps -Xcc -fmodule-map-file=$map/module.modulemap"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for module in LaminaCore LaminaLayers LaminaBlocks LaminaModels LaminaWeights LaminaImages LaminaTraining \
  LaminaPlugins LaminaPluginKit; do
  mkdir "$work/$module"
  # shellcheck disable=SC2086
  "$swift" symbolgraph-extract -module-name "$module" -I "$build/Modules" -target "$target" \
    -minimum-access-level public -output-dir "$work/$module" \
    $maps
  docc convert --additional-symbol-graph-dir "$work/$module" --fallback-display-name "$module" \
    --fallback-bundle-identifier "lamina.$module" --diagnostic-level error \
    --transform-for-static-hosting --output-dir "$work/$module.doccarchive" > "$work/messages" ||
    { cat "$work/messages"; exit 1; }
done
rm -rf "$folder/swift" "$folder/c"
docc merge "$work"/*.doccarchive --synthesized-landing-page-name Lamina --output-path "$folder/swift"
if ! command -v doxygen >/dev/null; then
  echo "skipped: the C headers, for want of doxygen"
  exit 0
fi
doxygen - <<END
PROJECT_NAME = Lamina
INPUT = include/lamina
STRIP_FROM_PATH = include
OUTPUT_DIRECTORY = "$folder"
HTML_OUTPUT = c
GENERATE_LATEX = NO
OPTIMIZE_OUTPUT_FOR_C = YES
MACRO_EXPANSION = YES
PREDEFINED = LAMINA_API= LAMINA_PLUGIN_EXPORT=
HAVE_DOT = NO
QUIET = YES
WARN_IF_UNDOCUMENTED = NO
WARN_AS_ERROR = FAIL_ON_WARNINGS
END
