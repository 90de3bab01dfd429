package chart

import (
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"banter/internal/problem"
)

// Report is a page that tells the story of a run. Written, it is one HTML file that needs nothing else: no network, no
// scripts, no fonts. It follows the reader's preference for light or dark, and prints.
type Report struct {
	Title    string
	Subtitle string
	Sections []*Section
	Facts    []Fact // small print at the end, folded up: versions, seeds, keys
}

// Fact is a named value in small print.
type Fact struct{ Name, Value string }

// Section is a part of a report under one heading.
type Section struct {
	Heading string
	Intro   string
	parts   []template.HTML
}

// Section adds a section to r.
func (r *Report) Section(heading, intro string) *Section {
	s := &Section{Heading: clean(heading, 200), Intro: clean(intro, 5000)}
	r.Sections = append(r.Sections, s)
	return s
}

// Anchor is the section's place in the page's address.
func (s *Section) Anchor() string {
	return strings.ReplaceAll(strings.ToLower(s.Heading), " ", "-")
}

// pageWidth is how wide a chart is drawn that does not say: the width of a section.
const pageWidth = 980

// Card is one number that matters.
type Card struct {
	Label  string
	Value  string
	Detail string
	Tone   Tone // Green where all is well, Red where it is not; Auto says nothing
}

// Cards adds a row of cards to s.
func (s *Section) Cards(cards ...Card) {
	shown := make([]Card, len(cards))
	for i, c := range cards {
		shown[i] = Card{clean(c.Label, maxLabel), clean(c.Value, maxLabel), clean(c.Detail, 200), c.Tone}
	}
	s.add(cardsTemplate, shown)
}

// Chart adds a chart to s as a static picture.
func (s *Section) Chart(c Chart) {
	if c.Width == 0 {
		c.Width = pageWidth
	}
	s.parts = append(s.parts, template.HTML(`<figure>`+inlineSVG(c)+`<figcaption>`+template.HTMLEscapeString(describe(c))+`</figcaption></figure>`))
}

// Table adds a table to s. Its rows are taken at once.
func (s *Section) Table(t Table) {
	s.parts = append(s.parts, template.HTML(t.markup()))
}

// Note adds a paragraph to s.
func (s *Section) Note(text string) {
	s.add(noteTemplate, clean(text, 5000))
}

// Warning adds a paragraph to s that stands out.
func (s *Section) Warning(text string) {
	s.add(warningTemplate, clean(text, 5000))
}

// PairSample is one pair as a report shows it.
type PairSample struct {
	Stream                 string
	SpeechStart, SpeechEnd time.Duration
	Speech                 string
	MessageTime            time.Duration
	Response               string
	Lag, Delay             time.Duration
	Confidence, FDR        float64
	Lineage                []Fact // message id, words, the keys of the steps that made it
}

// Pairs adds pairs to s, each with what was said, what was answered and where both come from.
func (s *Section) Pairs(pairs []PairSample) {
	type view struct {
		PairSample
		When, Answered, LagText, DelayText, ConfidenceText, FDRText, SpeechText, ResponseText string
	}
	var views []view
	for _, p := range pairs[:min(len(pairs), 200)] {
		v := view{PairSample: p,
			When:     clockText(tenth(p.SpeechStart)) + "–" + clockText(tenth(p.SpeechEnd)),
			Answered: clockText(tenth(p.MessageTime)),
			LagText:  tenths(p.Lag), DelayText: tenths(p.Delay),
			ConfidenceText: probability(p.Confidence), FDRText: probability(p.FDR),
			SpeechText: bounded(p.Speech, 600), ResponseText: bounded(p.Response, 600)}
		v.Stream = clean(p.Stream, maxLabel)
		v.Lineage = cleanFacts(p.Lineage)
		views = append(views, v)
	}
	s.add(pairsTemplate, views)
}

// probability writes p to three places, and does not call sure what is only nearly so.
func probability(p float64) string {
	switch {
	case p > 0.9995 && p < 1:
		return "> 0.999"
	case p < 0.0005 && p > 0:
		return "< 0.001"
	}
	return number(math.Round(p*1000) / 1000)
}

func cleanFacts(facts []Fact) []Fact {
	var out []Fact
	for _, f := range facts {
		out = append(out, Fact{clean(f.Name, maxLabel), clean(f.Value, 300)})
	}
	return out
}

func (s *Section) add(t *template.Template, data any) {
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		panic("chart: a template of the report does not run: " + err.Error()) // its data are plain structs and strings
	}
	s.parts = append(s.parts, template.HTML(b.String()))
}

// Parts gives the section's content, for the page's template.
func (s *Section) Parts() []template.HTML { return s.parts }

// Write writes the page. The same report gives the same bytes.
func (r *Report) Write(w io.Writer) error {
	view := struct {
		Title, Subtitle string
		Sections        []*Section
		Facts           []Fact
		Style           template.CSS
	}{clean(r.Title, 200), clean(r.Subtitle, 500), r.Sections, cleanFacts(r.Facts), template.CSS(reportStyle())}
	if err := pageTemplate.Execute(w, view); err != nil {
		return &problem.Error{Op: "write report", Err: err}
	}
	return nil
}

var (
	cardsTemplate = template.Must(template.New("cards").Funcs(template.FuncMap{"tone": toneClass}).Parse(
		`<div class="cards">{{range .}}<div class="card{{tone .Tone}}"><div class="label">{{.Label}}</div><div class="value">{{.Value}}</div>{{with .Detail}}<div class="detail">{{.}}</div>{{end}}</div>{{end}}</div>`))
	noteTemplate    = template.Must(template.New("note").Parse(`<p>{{.}}</p>`))
	warningTemplate = template.Must(template.New("warning").Parse(`<p class="warning">{{.}}</p>`))
	pairsTemplate   = template.Must(template.New("pairs").Parse(
		`<div class="pairs">{{range .}}<article><div class="said"><span class="tag">said {{.When}}</span><p><bdi>{{.SpeechText}}</bdi></p></div>` +
			`<div class="answered"><span class="tag">chat {{.Answered}}</span><p><bdi>{{.ResponseText}}</bdi></p></div>` +
			`<dl><div><dt>confidence</dt><dd>{{.ConfidenceText}}</dd></div><div><dt>FDR</dt><dd>{{.FDRText}}</dd></div><div><dt>lag</dt><dd>{{.LagText}}</dd></div><div><dt>delay</dt><dd>{{.DelayText}}</dd></div><div><dt>stream</dt><dd><bdi>{{.Stream}}</bdi></dd></div></dl>` +
			`{{with .Lineage}}<details><summary>lineage</summary><table>{{range .}}<tr><th scope="row">{{.Name}}</th><td><code>{{.Value}}</code></td></tr>{{end}}</table></details>{{end}}</article>{{else}}<p class="note">No pairs.</p>{{end}}</div>`))
	pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{.Title}}</title>
<style>{{.Style}}</style>
</head>
<body>
<main>
<header><h1>{{.Title}}</h1>{{with .Subtitle}}<p class="lead">{{.}}</p>{{end}}</header>
{{if gt (len .Sections) 2}}<nav>{{range .Sections}}<a href="#{{.Anchor}}">{{.Heading}}</a> {{end}}</nav>
{{end}}{{range .Sections}}<section id="{{.Anchor}}">
<h2>{{.Heading}}</h2>
{{with .Intro}}<p class="intro">{{.}}</p>
{{end}}{{range .Parts}}{{.}}
{{end}}</section>
{{end}}{{with .Facts}}<footer><h2>How this was made</h2><details><summary>the keys of {{len .}} steps; recipe explain KEY says what a step was made of</summary><dl>{{range .}}<div><dt>{{.Name}}</dt><dd><code>{{.Value}}</code></dd></div>{{end}}</dl></details></footer>
{{end}}</main>
</body>
</html>
`))
)

func toneClass(t Tone) string {
	switch t {
	case Green:
		return " good"
	case Red:
		return " bad"
	case Orange:
		return " fair"
	}
	return ""
}

// reportStyle is the page's style sheet. Colors are the charts' own, so that pictures and page change together.
func reportStyle() string {
	return `:root{` + light.colors() + `--page:#f4f6f8}
@media (prefers-color-scheme:dark){:root{` + dark.colors() + `--page:#0d1117}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--banter-c1);font:15px/1.55 ` + svgFont + `}
main{max-width:1080px;margin:0 auto;padding:32px 20px 48px}
header{margin:0 0 24px}
h1{font-size:28px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:19px;line-height:1.3;margin:0 0 4px;letter-spacing:-.005em}
.lead{margin:0;color:var(--banter-c2);font-size:16px}
section,footer{background:var(--banter-c0);border:1px solid var(--banter-c3);border-radius:10px;padding:22px 24px;margin:0 0 18px}
.intro{margin:0 0 14px;color:var(--banter-c2);max-width:75ch}
section p{max-width:80ch}
figure{margin:14px 0 6px;padding:0}
figure{overflow-x:auto;` + scrollShadow + `}
figure svg>rect:first-of-type{fill-opacity:0}
figure svg{display:block;max-width:100%;min-width:620px;height:auto;margin:0 auto}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:-8px 0 18px;font-size:14px}
a{color:var(` + colorName(toneRole(Blue)) + `)}
figure{position:relative}
figcaption{position:absolute;left:0;top:0;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(158px,1fr));gap:12px;margin:12px 0}
.card{border:1px solid var(--banter-c3);border-left:3px solid var(--banter-c4);border-radius:8px;padding:10px 14px}
.card .label{font-size:12px;color:var(--banter-c2)}
.card .value{font-size:21px;font-weight:600;line-height:1.25;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.card .detail{font-size:12px;color:var(--banter-c2)}
.card.good{border-left-color:var(` + colorName(toneRole(Green)) + `)}
.card.fair{border-left-color:var(` + colorName(toneRole(Orange)) + `)}
.card.bad{border-left-color:var(` + colorName(toneRole(Red)) + `)}
.warning{border-left:3px solid var(` + colorName(toneRole(Orange)) + `);padding:6px 12px;margin:10px 0}
.note{color:var(--banter-c2);font-size:13px}
.pairs{display:grid;gap:12px;margin:12px 0 0}
.pairs article{border:1px solid var(--banter-c3);border-radius:8px;padding:12px 16px;display:grid;grid-template-columns:1fr 1fr;gap:4px 24px}
.pairs p{margin:2px 0 6px;overflow-wrap:anywhere}
.pairs .answered p{font-weight:600}
.tag{font-size:11px;color:var(--banter-c2);font-variant-numeric:tabular-nums}
.pairs dl,.pairs details{grid-column:1/-1}
dl{display:flex;flex-wrap:wrap;gap:2px 22px;margin:0;font-size:12.5px}
dl div{display:flex;gap:6px}
dt{color:var(--banter-c2)}
dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
details{font-size:12.5px;margin-top:6px}
summary{cursor:pointer;color:var(--banter-c2)}
details table th{font-weight:400;color:var(--banter-c2);text-align:left;padding:2px 14px 2px 0;border:0;white-space:nowrap;vertical-align:top}
details table td{padding:2px 0;border:0;overflow-wrap:anywhere}
code{font:12px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
footer dl{display:grid;gap:2px}
footer dt{min-width:150px}
` + strings.ReplaceAll(tableRules, "$", "section") + `@media (max-width:640px){.pairs article{grid-template-columns:1fr}section,footer{padding:16px}main{padding:20px 10px}}
@media print{nav{display:none}:root{` + light.colors() + `--page:#fff}body{font-size:11pt}main{max-width:none;padding:0}section,footer{border:0;padding:8px 0;break-inside:auto}figure,article,.card,.cards,tr{break-inside:avoid}h2,.intro{break-after:avoid}.cards{grid-template-columns:repeat(auto-fit,minmax(112px,1fr));gap:8px}.card{padding:8px 10px}.card .value{font-size:13pt}figure svg{min-width:0}figure,.scroll{background:none!important}}
`
}

// tenths writes a duration in seconds, to a tenth.
func tenths(d time.Duration) string {
	return strings.Replace(strconv.FormatFloat(tenth(d), 'f', 1, 64), "-", "−", 1) + "\u202fs"
}

// tenth is a duration in seconds, rounded to a tenth.
func tenth(d time.Duration) float64 { return d.Round(100 * time.Millisecond).Seconds() }
