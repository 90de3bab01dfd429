package recipe

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banter/dsl"
	"banter/dsl/memo"
)

// step makes a locked step whose only output holds the given text.
func step(verb, label, output string, parts ...string) LockedStep {
	s := LockedStep{Verb: verb, Label: label, Outputs: []memo.Output{{Name: "out", Digest: memo.Sum([]byte(output)), Size: int64(len(output))}}, Parts: []memo.Part{}}
	for i := 0; i < len(parts); i += 2 {
		s.Parts = append(s.Parts, memo.Part{Name: parts[i], Value: parts[i+1]})
	}
	s.Key = memo.Step{Verb: s.Verb, Parts: s.Parts}.Key()
	return s
}

func TestLockVerify(t *testing.T) {
	load, filter := step("load", "s1", "a", "input.chat", "1"), step("filter", "2 rules", "b", "rule", "x")
	locked := func(steps ...LockedStep) *Lock { return &Lock{Format: lockFormat, Steps: steps} }
	varied := filter
	varied.Varies = "arithmetic rounds differently"
	twice := step("filter", "2 rules", "c", "rule", "y")
	for _, c := range []struct {
		name     string
		was, now *Lock
		want     []string // words of the refusal; none: the lock is met
	}{
		{"the same", locked(load, filter), locked(load, filter), nil},
		{"another order", locked(load, filter), locked(filter, load), nil},
		{"another key, the same bytes", locked(step("filter", "2 rules", "b", "impl", "1")), locked(step("filter", "2 rules", "b", "impl", "2")), nil},
		{"another rule", locked(load, filter), locked(load, step("filter", "2 rules", "c", "rule", "y")), []string{"out of filter 2 rules", "rule: x -> y"}},
		{"the first is named", locked(load, filter), locked(step("load", "s1", "z", "input.chat", "2"), twice), []string{"out of load s1", "input.chat: 1 -> 2"}},
		{"one key, other bytes", locked(filter), locked(step("filter", "2 rules", "B", "rule", "x")), []string{"not give the same bytes"}},
		{"on another machine", locked(varied), locked(func() LockedStep {
			s := step("filter", "2 rules", "B", "rule", "x")
			s.Varies = varied.Varies
			return s
		}()), []string{"rounds differently"}},
		{"a step less", locked(load, filter), locked(load), []string{"filter 2 rules did not run"}},
		{"a step more", locked(load), locked(load, filter), []string{"filter 2 rules ran, which the lock does not know"}},
		{"two alike, one changed", locked(filter, twice), locked(filter, step("filter", "2 rules", "d", "rule", "z")), []string{"rule: y -> z"}},
		{"an output gone", locked(load), locked(func() LockedStep { s := load; s.Outputs = nil; return s }()), []string{"no output out"}},
		{"an output more", locked(func() LockedStep { s := load; s.Outputs = nil; return s }()), locked(load), []string{"another output, out"}},
		{"parameters", &Lock{Params: []LockedParam{{"fdr", "0.1"}}, Steps: locked(filter).Steps}, &Lock{Params: []LockedParam{{"fdr", "0.2"}}, Steps: locked(twice).Steps},
			[]string{"parameter fdr: 0.1 -> 0.2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.was.Verify(c.now)
			var refused *dsl.LockError
			if (len(c.want) > 0) != errors.As(err, &refused) {
				t.Fatalf("%v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

func TestReadLockRefuses(t *testing.T) {
	good := step("load", "s1", "a", "x", "1")
	for name, text := range map[string]string{
		"no JSON":        "{",
		"another format": `{"format":"banter-lock/9"}`,
		"a wrong key":    fmt.Sprintf(`{"format":"banter-lock/1","steps":[{"verb":"load","key":%q,"parts":[]}]}`, good.Key),
		"no digest":      fmt.Sprintf(`{"format":"banter-lock/1","steps":[{"verb":"load","key":%q,"parts":[{"name":"x","value":"1"}],"outputs":[{"name":"a","sha256":"../x"}]}]}`, good.Key),
	} {
		file := filepath.Join(t.TempDir(), "x.lock")
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadLock(file); err == nil || !strings.Contains(err.Error(), "--update-lock") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLockRoundTrip(t *testing.T) {
	l := &Lock{Format: lockFormat, Params: []LockedParam{{"a", "<&>"}}, Steps: []LockedStep{step("load", "s1", "a", "x", "1")}, Metrics: []Metric{{"m", 0.1}}}
	file := filepath.Join(t.TempDir(), "x.lock")
	if err := l.WriteTo(file); err != nil {
		t.Fatal(err)
	}
	back, err := ReadLock(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Verify(back); err != nil {
		t.Error(err)
	}
	if c := Compare(l, back, false); len(c.Steps) > 0 || len(c.Metrics) > 0 || c.Params[0].A != c.Params[0].B {
		t.Errorf("%+v", c)
	}
}

func TestCompare(t *testing.T) {
	a := &Lock{Params: []LockedParam{{"fdr", "0.1"}, {"old", "1"}}, Metrics: []Metric{{"pairs", 10}, {"same", 1}},
		Steps: []LockedStep{step("load", "s1", "a"), step("filter", "", "b", "rule", "x")}}
	b := &Lock{Params: []LockedParam{{"fdr", "0.2"}, {"new", "2"}}, Metrics: []Metric{{"pairs", 12}, {"same", 1}},
		Steps: []LockedStep{step("load", "s1", "a"), step("load", "s2", "c", "n", "1"), step("filter", "", "d", "rule", "y")}}
	var out bytes.Buffer
	if err := Compare(a, b, false).Write(&out, "a.go", "b.go"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"* fdr", "0.1", "0.2", "* old", "* new", "* load", "* pairs", "rule: x -> y", "only in b.go"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "same ") {
		t.Errorf("a metric that is the same is listed:\n%s", &out)
	}
}

func TestGraph(t *testing.T) {
	hostile := "<script>alert('&')</script>\x1b\u202e"
	l := &Lock{}
	all := step("align", "all", "p")
	for i := range 30 {
		s := step("load", fmt.Sprint("s", i), "a", "n", fmt.Sprint(i))
		l.Steps = append(l.Steps, s)
		all.Reads = append(all.Reads, s.Key)
	}
	last := step("filter", hostile, "f", "n", "1")
	last.Reads = []memo.Key{all.Key, memo.Key(strings.Repeat("0", 64))} // one that was not part of the run
	l.Steps = append(l.Steps, all, last)
	svg := Graph(l)
	if !bytes.Equal(svg, Graph(l)) {
		t.Error("the same steps give another picture")
	}
	texts, dec := 0, xml.NewDecoder(bytes.NewReader(svg))
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := tok.(xml.StartElement); ok {
			switch e.Name.Local {
			case "script":
				t.Error("a label became markup")
			case "g":
				texts++
			}
		}
	}
	if texts != 3 || !bytes.Contains(svg, []byte("× 30")) || bytes.Count(svg, []byte("<path")) != 2 {
		t.Errorf("%d boxes in\n%s", texts, svg)
	}
}

func TestFollow(t *testing.T) {
	src := []byte("package main\nimport \"banter/dsl\"\nfunc main() { dsl.Main(nil, func() {\n" +
		"p := dsl.Align(dsl.Words(dsl.Load(\"a\"), \"a\"))\n a := dsl.Filter(p)\n b := dsl.Filter(a)\n dsl.Gate(dsl.Eval(dsl.Train(b), b))\n}) }\n")
	for _, c := range []struct {
		verb string
		n    int
		want string
	}{
		{"load", 3, "Words Align Filter Filter Train Eval Gate"},
		{"transcribe", 2, "Align Filter Filter Train Eval Gate"},
		{"filter", 1, "Filter Train Eval Gate"},
		{"filter", 2, "Train Eval Gate"},
		{"train", 1, "Eval Gate"},
		{"eval", 1, "Gate"},
	} {
		got, err := follow("x.go", src, c.verb, c.n)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("after %s %d: %v, %v", c.verb, c.n, got, err)
		}
	}
}
