package align

import (
	"banter/stdlib/chat"
	"banter/stdlib/speech"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"
)

func TestDbg(t *testing.T) {
	dir := os.Getenv("DBG")
	if dir == "" {
		t.Skip()
	}
	f, _ := os.Open(dir + "/truth.json")
	tr, _ := ReadTruth(f)
	var ws []struct {
		Word       string
		Start, End float64
	}
	b, _ := os.ReadFile(dir + "/words.json")
	json.Unmarshal(b, &ws)
	st := &speech.Transcript{}
	for _, w := range ws {
		st.Words = append(st.Words, speech.Word{Text: w.Word, Start: time.Duration(w.Start * 1e9), End: time.Duration(w.End * 1e9)})
	}
	st.Segments = []speech.Segment{{Last: len(ws)}}
	lg, err := chat.Open(context.Background(), dir+"/chat.json", chat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var o Options
	for _, l := range tr.Lag {
		o.FixedLag = append(o.FixedLag, LagPiece{From: time.Duration(l.From * 1e9), Lag: time.Duration(l.Lag * 1e9)})
	}
	for _, fix := range []bool{false, true} {
		var opt Options
		if fix {
			opt = o
		}
		opt, _ = opt.withDefaults(100)
		c, _ := newCorpus([]Input{{"s", st, lg.Messages}}, &opt)
		k := c.tracks[0]
		c.estimateLag(context.Background(), k)
		fmt.Println("initial", k.curve)
		m, _ := fit(context.Background(), c)
		l := &learner{c: c, m: m}
		var learn []int32
		for i := range k.tgt {
			learn = append(learn, int32(i))
		}
		l.learn = [][]int32{learn}
		posts := l.scoreAll(k, k, 0)
		wide := l.wideLinks(k, posts, -5, 20)
		fmt.Println(fix, "curve", k.curve, m.laws, m.weights, m.alt, "rate", k.rate, k.answers)
		cv := k.curve
		LL := func(cv []piece) float64 {
			return l.logLik(k, wide, func(j int32) float64 { return lagAt(cv, k.src[j].end) })
		}
		fmt.Println("LL own", LL(cv))
		for d := -2.0; d <= 2; d += 0.25 {
			var tc []piece
			for _, x := range tr.Lag {
				tc = append(tc, piece{from: x.From - k.t0.Seconds(), lag: x.Lag + d})
			}
			fmt.Print(" ", d, ":", LL(tc))
		}
		fmt.Println()
	}
}
