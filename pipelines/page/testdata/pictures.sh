#!/usr/bin/env bash
# The pictures of pipelines/README.md, from real work: a quickstart round, a sweep of six and two trainings side by side.
# It needs chromium, convert (ImageMagick) and pngquant, and takes ten minutes. Run it at the top of the repository.
set -euo pipefail
out=$PWD/pipelines/page/testdata work=$(mktemp -d)
go build -o "$work/quire" ./pipelines/quire
cd "$work"
if [ -n "${PAGES:-}" ]; then cp "$PAGES"/{round,sweep,two}.html .; else
	cat >six.yaml <<-END
		extends: quickstart
		name: six
		workdir: work/six
		train: {epochs: 4}
		sweep: {train.lr: [0.001, 0.002, 0.004], model.hidden: [64, 128]}
	END
	./quire run && ./quire report --out round.html
	./quire run --set train.epochs=4 --set model.cell=lstm --set model.hidden=128 || [ $? = 3 ]
	./quire sweep --config six.yaml && ./quire report --config six.yaml work/six/sweeps/* --out sweep.html
	./quire report work/quickstart/runs/* --out two.html
fi
look() { # PAGE PICTURE WIDTH HEIGHT THEME (0 is dark, 1 is light) SCALED
	chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" --window-size="$3,$4" \
		--blink-settings=preferredColorScheme="$5" --screenshot="$work/$2" "file://$work/$1"
	convert "$work/$2" -resize "$6x" "$work/small.png"
	pngquant --force --speed 1 --output "$out/$2" 48 "$work/small.png"
}
look round.html round.png 1180 1730 1 800
look round.html phone.png 390 1690 0 312
look sweep.html sweep.png 1180 1330 1 640
look two.html two.png 1180 1330 0 640
rm -r "$work"
