package chart

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"io"
	"strings"
	"sync"
)

//go:embed assets
var assets embed.FS

//go:generate go run ./fetch assets/echarts.min.js.gz

// echartsFile is ECharts' minified source, gzipped. It is another project's work and not kept here: fetching puts it beside
// the other assets, and a build without it has static charts only.
const echartsFile = "assets/echarts.min.js.gz"

// HTML is a fragment that shows c in a notebook: a static picture that is seen whether or not the notebook is trusted,
// offline and without scripts, and a few lines of script that make it live where [Bundle] was sent to the same page.
func HTML(c Chart) string {
	option, err := OptionsJSON(c)
	sum := sha256.Sum256(append(option, c.Title...))
	id := hex.EncodeToString(sum[:8])
	picture := layout(c)
	var b strings.Builder
	fmt.Fprintf(&b, `<div class="banter-chart" data-banter-chart="%s" data-height="%s" style="max-width:%spx">`, id, coordinate(picture.height), coordinate(picture.width))
	fmt.Fprintf(&b, `<img alt="%s" style="max-width:100%%" src="data:image/svg+xml;base64,%s">`,
		html.EscapeString(describe(c)), base64.StdEncoding.EncodeToString([]byte(picture.svg(svgStyle()))))
	if err == nil {
		fmt.Fprintf(&b, `<script>(function(w,c){(w.banterCharts=w.banterCharts||{queue:[],add:function(c){this.queue.push(c)}}).add(c)})(window,{id:"%s",option:%s})</script>`, id, option)
	}
	b.WriteString("</div>")
	return b.String()
}

// Text says in one line what c shows.
func Text(c Chart) string { return describe(c) }

// Live says whether this build holds ECharts, so that charts can turn live.
func Live() bool {
	_, err := assets.Open(echartsFile)
	return err == nil
}

// Bundle is a fragment to send once to each page: it holds ECharts and turns all charts of the page live, those shown
// before and those to come. It is empty in a build without ECharts.
func Bundle() string { return bundle() }

var bundle = sync.OnceValue(func() string {
	packed, err := assets.ReadFile(echartsFile)
	if err != nil {
		return ""
	}
	hydrate, err := assets.ReadFile("assets/hydrate.js")
	if err != nil {
		return ""
	}
	// The browser unpacks it; where it cannot, charts stay as they are.
	load := `function(){var b=atob("` + base64.StdEncoding.EncodeToString(packed) + `"),a=new Uint8Array(b.length);` +
		`for(var i=0;i<b.length;i++)a[i]=b.charCodeAt(i);` +
		`return new Response(new Blob([a]).stream().pipeThrough(new DecompressionStream("gzip"))).text()}`
	return `<script>` + strings.TrimSpace(string(hydrate)) + `(` + load + `)</script>`
})

// Source is ECharts' source as this build holds it, for those who serve it from a file of its own; nil without it.
func Source() []byte {
	packed, err := assets.ReadFile(echartsFile)
	if err != nil {
		return nil
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	source, err := io.ReadAll(io.LimitReader(r, 16<<20))
	if err != nil {
		return nil
	}
	return source
}
