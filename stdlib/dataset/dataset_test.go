package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"banter/stdlib/align"
)

const sha = "d5edb0be0aeb208b77b14450bd24b94777704bdfa38c6eee71052071ca6918d4"

// pairsOf makes a pair every step seconds through a stream, with speech of four seconds.
func pairsOf(stream string, minutes float64, step float64) []align.Pair {
	var pairs []align.Pair
	for at := 0.0; at < minutes*60; at += step {
		n := len(pairs)
		start := time.Duration(at * 1e9)
		pairs = append(pairs, align.Pair{
			Stream: stream, MessageID: fmt.Sprintf("%s-%d", stream, n), AuthorHash: fmt.Sprintf("a%d", n%7),
			Speech: fmt.Sprintf("what is number %d", n), SpeechStart: start, SpeechEnd: start + 4*time.Second, FirstWord: 4 * n, LastWord: 4*n + 4,
			Response: fmt.Sprintf("it is %d KEKW", n), MessageTime: start + 12*time.Second, Lag: 6 * time.Second, Delay: 2 * time.Second,
			Confidence: float64(n%10) / 10, FDR: 0.05, Emotes: 1, SpeechProb: -1,
		})
	}
	return pairs
}

func meta(streams ...string) Meta {
	m := Meta{Recordings: map[string]string{}, Filters: []string{`{"rule":"confidence","with":{"at_least":0.5,"at_most":0}}`}, Lineage: []string{"k1", "k2"}}
	for _, s := range streams {
		m.Recordings[s] = sha
	}
	return m
}

func rowsOf(t testing.TB, pairs []align.Pair, opt Options) ([]Row, Made) {
	t.Helper()
	streams := map[string]bool{}
	var names []string
	for _, p := range pairs {
		if !streams[p.Stream] {
			streams[p.Stream] = true
			names = append(names, p.Stream)
		}
	}
	rows, made, err := FromPairs(pairs, meta(names...), opt)
	if err != nil {
		t.Fatal(err)
	}
	return rows, made
}

func splits(rows []Row) map[string]string {
	m := map[string]string{}
	for _, r := range rows {
		m[r.ID] = r.Split
	}
	return m
}

func TestHoldoutNeverDrifts(t *testing.T) {
	for _, by := range []By{ByTime, ByStream} {
		opt := Options{By: by}
		before := splits(first(rowsOf(t, append(pairsOf("b", 10, 5), pairsOf("c", 10, 5)...), opt)))
		// Two more streams, a longer recording, more pairs in between, all in another order.
		var more []align.Pair
		for _, s := range []string{"d", "a", "c", "b"} {
			more = append(more, pairsOf(s, 20, 5)...)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		rng.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
		after := splits(first(rowsOf(t, more, opt)))
		for id, split := range before {
			if after[id] != split {
				t.Fatalf("by %d: row %s was %s and is %q", by, id, split, after[id])
			}
		}
	}
}

func first[A, B any](a A, _ B) A { return a }

func TestHoldoutHasItsShareAndItsGuard(t *testing.T) {
	for _, share := range []float64{0.1, 0.2, 0.5} {
		for seed := range uint64(20) {
			opt := Options{Holdout: share, Seed: seed, Guard: 3 * time.Second}
			rows, made := rowsOf(t, pairsOf("s", 60, 1), opt)
			got := float64(made.Holdout) / float64(made.Train+made.Holdout)
			if got < 0.8*share || got > 1.15*share {
				t.Errorf("share %v, seed %d: %.3f is held out", share, seed, got)
			}
			if made.Train+made.Holdout+made.Guard != made.Pairs || len(rows) != made.Train+made.Holdout || made.Guard == 0 {
				t.Errorf("counts do not add up: %+v", made)
			}
			for i := range rows { // no training speech may come within the guard of held-out speech
				for j := max(0, i-12); j < min(len(rows), i+12); j++ {
					a, b := rows[i], rows[j]
					if a.Split == Train && b.Split == Holdout && a.SpeechStartMS < b.SpeechEndMS+3000 && b.SpeechStartMS < a.SpeechEndMS+3000 {
						t.Fatalf("training speech %d-%d ms is too near to held-out speech %d-%d ms", a.SpeechStartMS, a.SpeechEndMS, b.SpeechStartMS, b.SpeechEndMS)
					}
				}
			}
		}
	}
	if _, made := rowsOf(t, pairsOf("s", 10, 1), Options{Holdout: -1}); made.Holdout+made.Guard != 0 {
		t.Errorf("no holdout was asked for: %+v", made)
	}
}

func TestHoldoutByStreamHasItsShare(t *testing.T) {
	var pairs []align.Pair
	for i := range 2000 {
		pairs = append(pairs, pairsOf(fmt.Sprintf("stream%d", i), 0.05, 4)...)
	}
	rows, made := rowsOf(t, pairs, Options{By: ByStream})
	if share := float64(made.Holdout) / float64(made.Pairs); share < 0.17 || share > 0.23 || made.Guard != 0 {
		t.Errorf("%+v", made)
	}
	side := map[string]string{}
	for _, r := range rows {
		if s, ok := side[r.Stream]; ok && s != r.Split {
			t.Fatalf("stream %s is on both sides", r.Stream)
		}
		side[r.Stream] = r.Split
	}
}

// On the shipped streams the default must hold out a useful share, whatever the stream ids are.
func TestHoldoutOfShippedStreams(t *testing.T) {
	var shares []float64
	for try := range 20 {
		var pairs []align.Pair
		for _, s := range []string{"s1", "s2", "s3"} {
			var truth struct {
				Sentences []struct{ Start, End float64 }
				Messages  []struct {
					Kind     string
					Sentence *int
				}
			}
			b, err := os.ReadFile("../../testdata/streams/" + s + "/truth.json")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &truth); err != nil {
				t.Fatal(err)
			}
			for i, m := range truth.Messages {
				if m.Kind != "reply" || m.Sentence == nil {
					continue
				}
				st := truth.Sentences[*m.Sentence]
				from, to := time.Duration(st.Start*1e9), time.Duration(st.End*1e9)
				pairs = append(pairs, align.Pair{
					Stream: fmt.Sprintf("%s-%d", s, try), MessageID: fmt.Sprint(i), AuthorHash: "a", Speech: "x", Response: "y",
					SpeechStart: from, SpeechEnd: to, FirstWord: i, LastWord: i + 1, MessageTime: to + 8*time.Second, Lag: 6 * time.Second, Delay: 2 * time.Second,
				})
			}
		}
		_, made := rowsOf(t, pairs, Options{})
		shares = append(shares, float64(made.Holdout)/float64(made.Holdout+made.Train))
		if try == 0 {
			t.Logf("%+v", made)
		}
	}
	slices.Sort(shares)
	t.Logf("shares held out: %.3f", shares)
	if len(shares) == 0 || shares[0] < 0.10 || shares[len(shares)-1] > 0.30 {
		t.Errorf("shares held out: %.3f", shares)
	}
}

func TestFromPairsRefuses(t *testing.T) {
	good := pairsOf("s", 1, 10)
	for _, c := range []struct {
		name string
		meta Meta
		opt  Options
		edit func(*align.Pair)
		says string
	}{
		{name: "stream without checksum", meta: meta("x"), says: `recording of stream "s" is missing`},
		{name: "no lineage", meta: Meta{Recordings: map[string]string{"s": sha}}, says: "steps that made the pairs"},
		{name: "bad direction", meta: meta("s"), opt: Options{Direction: "up"}, says: "no direction"},
		{name: "most held out", meta: meta("s"), opt: Options{Holdout: 0.9}, says: "0.9"},
		{name: "empty response", meta: meta("s"), edit: func(p *align.Pair) { p.Response = " " }, says: "row 1: its response is empty"},
		{name: "answer before the speech", meta: meta("s"), edit: func(p *align.Pair) { p.Lag = time.Minute }, says: "comes before the speech"},
		{name: "time goes back", meta: meta("s"), edit: func(p *align.Pair) { p.SpeechEnd = -time.Second }, says: "speech lasts from"},
		{name: "confidence above 1", meta: meta("s"), edit: func(p *align.Pair) { p.Confidence = 1.5 }, says: "confidence 1.5"},
		{name: "no author", meta: meta("s"), edit: func(p *align.Pair) { p.AuthorHash = "" }, says: "author hash is empty"},
		{name: "twice", meta: meta("s"), edit: func(p *align.Pair) { *p = good[1] }, says: "is that of row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pairs := slices.Clone(good)
			c.opt.Holdout = max(c.opt.Holdout, 0)
			if c.opt.Holdout == 0 {
				c.opt.Holdout = -1
			}
			if c.edit != nil {
				c.edit(&pairs[0])
			}
			_, _, err := FromPairs(pairs, c.meta, c.opt)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestValidateListsTheFirstFaults(t *testing.T) {
	rows, _ := rowsOf(t, pairsOf("s", 5, 2), Options{})
	for i := range rows {
		rows[i].FDR = 2
	}
	err := Validate(rows)
	if err == nil || !strings.Contains(err.Error(), "row 10: ") || strings.Contains(err.Error(), "row 11: ") || !strings.Contains(err.Error(), fmt.Sprintf("and %d rows more", len(rows)-10)) {
		t.Errorf("got %v", err)
	}
}

func TestDirections(t *testing.T) {
	pairs := pairsOf("s", 1, 10)[:1]
	there, _ := rowsOf(t, pairs, Options{Holdout: -1})
	pairs[0].MessageTime, pairs[0].Delay = 7*time.Second, time.Second // the speech answers
	back, _ := rowsOf(t, pairs, Options{Holdout: -1, Direction: ChatToSpeech})
	if there[0].Prompt() != pairs[0].Speech || there[0].Completion() != pairs[0].Response || back[0].Prompt() != pairs[0].Response || back[0].Completion() != pairs[0].Speech {
		t.Errorf("%+v, %+v", there[0], back[0])
	}
	if there[0].ID == back[0].ID {
		t.Error("both directions have one id")
	}
}

func TestParquetRoundTrip(t *testing.T) {
	rows, _ := rowsOf(t, append(pairsOf("s1", 30, 1), pairsOf("s2", 30, 1)...), Options{})
	rows[3].Response = "\"quotes\"\tand\nlines 🧅 \u2028 <b>"
	rows[4].Filters, rows[5].Lineage = nil, []string{"one"}
	var a, b bytes.Buffer
	if err := Write(&a, rows); err != nil {
		t.Fatal(err)
	}
	mixed := slices.Clone(rows)
	rand.New(rand.NewPCG(2, 2)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	if err := Write(&b, mixed); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same rows in another order are other bytes")
	}
	got, err := Read(bytes.NewReader(a.Bytes()), int64(a.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(rows) {
		t.Fatalf("%d rows, want %d", len(got), len(rows))
	}
	for i := range got {
		if len(got[i].Filters) == 0 {
			got[i].Filters = nil
		}
		if !reflect.DeepEqual(got[i], rows[i]) {
			t.Fatalf("row %d is\n%+v, want\n%+v", i, got[i], rows[i])
		}
	}
	t.Logf("%d rows in %d bytes", len(rows), a.Len())
	stop := errors.New("enough")
	if err := Each(bytes.NewReader(a.Bytes()), int64(a.Len()), func(Row) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	var none bytes.Buffer
	if err := Write(&none, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(bytes.NewReader(none.Bytes()), int64(none.Len())); err != nil || len(got) != 0 {
		t.Errorf("no rows come back as %v, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	rows, _ := rowsOf(t, pairsOf("s", 2, 1), Options{})
	var good bytes.Buffer
	if err := Write(&good, rows); err != nil {
		t.Fatal(err)
	}
	type other struct {
		ID   string `parquet:"id"`
		Text int64  `parquet:"speech"`
		Odd  int64  `parquet:"odd"`
	}
	var foreign bytes.Buffer
	if err := parquet.Write(&foreign, []other{{"1", 2, 3}}); err != nil {
		t.Fatal(err)
	}
	var faulty bytes.Buffer
	bad := slices.Clone(rows)
	bad[7].Split = "test"
	if err := parquet.Write(&faulty, bad); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		says  string
	}{
		{"empty", nil, "not a whole Parquet file"},
		{"text", []byte("id,stream_id\n1,2\n"), "not a whole Parquet file"},
		{"cut off", good.Bytes()[:good.Len()/2], "not a whole Parquet file"},
		{"list of 4 thousand million", []byte("PAR1\x29\xfc\xff\xff\xff\xff\x0f\x00\x08\x00\x00\x00PAR1"), "claims a list of 4294967295 elements"},
		{"footer of 4 GB", []byte("PAR1\x00\xff\xff\xff\xffPAR1"), "claims a footer"},
		{"other columns", foreign.Bytes(), "column confidence is missing, "},
		{"faulty row", faulty.Bytes(), `row 8: its split "test"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(c.bytes), int64(len(c.bytes)))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
	if err := Write(&bytes.Buffer{}, bad); err == nil {
		t.Error("a faulty row is written")
	}
}

func TestJSONL(t *testing.T) {
	rows, _ := rowsOf(t, pairsOf("s", 1, 1), Options{})
	rows[0].Response = "\"a\" \\ <b> & \n\t\u0001 🧅 \u2028"
	for _, c := range []struct {
		name string
		e    Export
		line string // the first line; empty where only the counts matter
		rows int
	}{
		{"messages", Export{}, `{"messages":[{"role":"user","content":"what is number 0"},{"role":"assistant","content":"\"a\" \\ <b> & \n\t\u0001 🧅 \u2028"}]}`, len(rows)},
		{"with a system message and ids", Export{System: "be brief", IDs: true, MaxRows: 1}, `{"id":"` + rows[0].ID + `","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"what is number 0"},{"role":"assistant","content":"\"a\" \\ <b> & \n\t\u0001 🧅 \u2028"}]}`, 1},
		{"prompt and completion", Export{Form: PromptCompletion}, `{"prompt":"what is number 0","completion":"\"a\" \\ <b> & \n\t\u0001 🧅 \u2028"}`, len(rows)},
		{"prompt and completion as chat", Export{Form: PromptCompletionChat}, `{"prompt":[{"role":"user","content":"what is number 0"}],"completion":[{"role":"assistant","content":"\"a\" \\ <b> & \n\t\u0001 🧅 \u2028"}]}`, len(rows)},
		{"bytes are bounded", Export{MaxBytes: 400}, "", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			done, err := JSONL(&b, rows, c.e)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(b.String(), "\n")
			lines = lines[:len(lines)-1]
			if c.line != "" && lines[0] != c.line+"\n" {
				t.Errorf("line is\n%s, want\n%s", lines[0], c.line)
			}
			if len(lines) != c.rows || done.Rows != c.rows || done.Bytes != int64(b.Len()) || done.Rows+done.Left != len(rows) || c.e.MaxBytes > 0 && int64(b.Len()) > c.e.MaxBytes {
				t.Errorf("%d lines, %+v", len(lines), done)
			}
			for _, l := range lines {
				var v map[string]any
				if err := json.Unmarshal([]byte(l), &v); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	train, err := JSONL(&bytes.Buffer{}, rows, Export{Split: Train})
	held, err2 := JSONL(&bytes.Buffer{}, rows, Export{Split: Holdout})
	if err != nil || err2 != nil || train.Rows+held.Rows != len(rows) || held.Rows != len(rows)-train.Rows {
		t.Errorf("%+v, %+v", train, held)
	}
	for _, e := range []Export{{Split: "test"}, {Form: 9}, {Form: PromptCompletion, System: "x"}, {MaxRows: -1}} {
		if _, err := JSONL(&bytes.Buffer{}, rows, e); err == nil {
			t.Errorf("%+v is accepted", e)
		}
	}
}

func TestCheckLeaks(t *testing.T) {
	rows, _ := rowsOf(t, pairsOf("s", 8, 4), Options{})
	paste := "this is the sacred text of the onion, copy it or be cursed"
	var train, held []int
	for i := range rows {
		rows[i].Speech, rows[i].Response = fmt.Sprintf("%x%x%x", i*7919, i*104729, i*1299709), fmt.Sprintf("%x-%x-%x", i*15485863, i*32452843, i*49979687)
		if rows[i].Split == Holdout {
			held = append(held, i)
		} else {
			train = append(train, i)
		}
	}
	rows[train[0]].Response, rows[held[0]].Response = paste, strings.ToUpper(paste)+" !!"              // copypasta
	rows[train[1]].Response, rows[held[1]].Response = "lol", "lol"                                     // a short answer: no leak
	rows[train[2]].Response, rows[held[2]].Response = "yes", "YES"                                     // the same question and answer
	rows[train[2]].Speech, rows[held[2]].Speech = "do you like onions", "Do you like onions?"          //
	rows[train[3]].Speech, rows[held[3]].Speech = "shall we go on with it", "shall we go on with it ?" // only the question
	kept, found, err := CheckLeaks(rows, Leak{Drop: true})
	if err != nil {
		t.Fatal(err)
	}
	if found.Completions != 1 || found.Both != 1 || found.Prompts != 2 || found.Dropped != 2 || found.Holdout != len(held) || len(found.Examples) != 2 {
		t.Errorf("%+v", found)
	}
	left := splits(kept)
	for n, i := range train[:4] {
		if _, ok := left[rows[i].ID]; ok != (n == 1 || n == 3) {
			t.Errorf("training row %d is kept: %v", n, ok)
		}
	}
	if len(kept) != len(rows)-2 {
		t.Errorf("%d rows of %d are kept", len(kept), len(rows))
	}
	if again, found, _ := CheckLeaks(kept, Leak{}); found.Both+found.Completions != 0 || len(again) != len(kept) {
		t.Errorf("after dropping: %+v", found)
	}
}

func TestBalance(t *testing.T) {
	pairs := append(pairsOf("big", 60, 2), pairsOf("small", 2, 2)...)
	rows, _ := rowsOf(t, pairs, Options{})
	trainOf := func(rows []Row) map[string]int {
		m := map[string]int{}
		for _, r := range rows {
			if r.Split == Train {
				m[r.Stream]++
			} else {
				m["holdout"]++
			}
		}
		return m
	}
	all := trainOf(rows)
	b := Balance{Rows: 60, By: []Trait{Stream}, Seed: 1}
	got, groups, err := b.Sample(rows)
	if err != nil {
		t.Fatal(err)
	}
	n := trainOf(got)
	if n["small"] != min(30, all["small"]) || n["small"]+n["big"] != 60 || n["holdout"] != all["holdout"] || len(groups) != 2 {
		t.Errorf("%v of %v, %+v", n, all, groups)
	}
	again, _, _ := b.Sample(rows)
	if !reflect.DeepEqual(got, again) {
		t.Error("the same seed gives another sample")
	}
	b.Seed = 2
	if other, _, _ := b.Sample(rows); reflect.DeepEqual(got, other) {
		t.Error("another seed gives the same sample")
	}
	if !slices.IsSortedFunc(got, compare) {
		t.Error("the sample is out of order")
	}
	every := Balance{Rows: 1 << 30, By: []Trait{Stream, SpeechLength, Length, EmoteDensity, Novelty}}
	if got, groups, err := every.Sample(rows); err != nil || len(got) != len(rows) || groups[0].Name != "big · 1-4 words of speech · 3-4 words · some emotes · said 1 times" {
		t.Errorf("%d rows, %+v, %v", len(got), groups, err)
	}
	for _, b := range []Balance{{}, {Rows: 1, By: []Trait{99}}} {
		if _, _, err := b.Sample(rows); err == nil {
			t.Errorf("%+v is accepted", b)
		}
	}
}

func TestCard(t *testing.T) {
	rows, made := rowsOf(t, append(pairsOf("s1", 8, 1), pairsOf("<img src=x>|s2", 8, 1)...), Options{})
	_, leaks, err := CheckLeaks(rows, Leak{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := (Card{Name: "Onion *chat*", Made: &made, Leaks: &leaks}).Write(&b, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"---\nlicense: other\n", "# Onion \\*chat\\*", "| &lt;img src=x\\>\\|s2 |", "`k1`", "at_least", "No licence has been chosen yet",
		fmt.Sprintf("%d of %d pairs were left out", made.Guard, made.Pairs), "- n<1K\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the card lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "<img") {
		t.Error("text of a stream became markup")
	}
}

func FuzzRead(f *testing.F) {
	rows, _ := rowsOf(f, pairsOf("s", 1, 10), Options{})
	var b bytes.Buffer
	if err := Write(&b, rows); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("PAR1\x00\x00\x00\x00PAR1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := Read(bytes.NewReader(b), int64(len(b)))
		if err == nil {
			if err := Validate(rows); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkParquet(b *testing.B) {
	rows, _ := rowsOf(b, pairsOf("s", 2000, 1), Options{})
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			if err := Write(&bytes.Buffer{}, rows); err != nil {
				b.Fatal(err)
			}
		}
	})
	var file bytes.Buffer
	if err := Write(&file, rows); err != nil {
		b.Fatal(err)
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := Read(bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(len(rows)), "rows")
}
