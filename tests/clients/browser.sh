#!/bin/sh
# Opens pages in headless Chromium, 400 and 1200 pixels wide, light and dark: fails if the console says anything, or if a page is
# wider than its window. The screenshots stay in the directory. Without Chromium it says so, and fails only if told to need it.
#
#     tests/clients/browser.sh DIR page.html http://127.0.0.1:8000/dashboard ..
set -eu
out=${1:?a directory for the screenshots}
shift
mkdir -p "$out"
chromium=
for name in chromium chromium-browser google-chrome; do
  chromium=$(command -v "$name") && break
done
if [ -z "$chromium" ]; then
  echo "there is no Chromium (Debian: apt-get install chromium): pages are not looked at"
  [ -z "${NEED_BROWSER:-}" ]
  exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# browse ACROSS DOWN PREFERRED ARGUMENTS ..: 0 is dark, 1 light.
browse() {
  across=$1 down=$2 preferred=$3
  shift 3
  timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
    --user-data-dir="$work/profile" --allow-file-access-from-files --window-size="$across,$down" \
    --blink-settings="preferredColorScheme=$preferred" --enable-logging=stderr --virtual-time-budget=3000 "$@" 2>"$work/log"
  if grep CONSOLE "$work/log" >&2; then
    echo "the console is not silent" >&2
    exit 1
  fi
}

n=0
for page in "$@"; do
  n=$((n + 1))
  case $page in
    http*)
      curl -sSf "$page" >"$work/page.html"
      browse 1200 1000 1 --dump-dom "$page" >/dev/null
      name=$(basename "$page")
      ;;
    *)
      cp "$page" "$work/page.html"
      name=$(basename "$page" .html)
      ;;
  esac
  # In real time, unlike below: from the start of the navigation until all of the page is laid out.
  cat >"$work/timed.html" <<HTML
<!doctype html><html><body><iframe id="f" style="width:1200px;height:1000px"></iframe><p id="found"></p><script>
const frame = document.getElementById("f"), began = performance.now();
frame.onload = () => {
  const height = frame.contentDocument.documentElement.scrollHeight;
  document.getElementById("found").textContent = "opened " + Math.round(performance.now() - began) + " high " + height;
};
frame.src = "page.html";
</script></body></html>
HTML
  opened=$(timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
    --user-data-dir="$work/profile" --allow-file-access-from-files --window-size=1200,1000 \
    --dump-dom "file://$work/timed.html" 2>/dev/null | sed -nE 's/.*opened ([0-9]+) high.*/\1/p')
  echo "$name: $(wc -c <"$work/page.html") bytes, opened in ${opened:-?} ms"
  for width in 400 1200; do
    for scheme in light dark; do
      # No window is as narrow as 400 pixels, a frame is.
      cat >"$work/frame.html" <<HTML
<!doctype html><html style="color-scheme:$scheme"><head><link rel="icon" href="data:,"></head><body style="margin:0">
<iframe id="f" src="page.html" style="border:0;width:${width}px;height:${HEIGHT:-2600}px"></iframe><p id="found"></p><script>
onload = () => {
  const root = document.getElementById("f").contentDocument.documentElement;
  document.getElementById("found").textContent = "wide " + root.scrollWidth + " high " + root.scrollHeight + " end";
};
</script></body></html>
HTML
      number=1
      [ "$scheme" = light ] || number=0
      browse 1200 1000 "$number" --dump-dom "file://$work/frame.html" >"$work/dom"
      wide=$(sed -nE 's/.*wide ([0-9]+) high ([0-9]+) end.*/\1/p' "$work/dom")
      browse "$((width < 500 ? 500 : width))" "${HEIGHT:-2600}" "$number" \
        --screenshot="$out/$name-$width-$scheme.png" "file://$work/frame.html"
      if [ -z "$wide" ] || [ "$wide" -gt "$width" ]; then
        echo "$page is ${wide:-?} pixels wide in a window of $width"
        exit 1
      fi
      echo "$name: $width pixels, $scheme: nothing on the console"
    done
  done
done
