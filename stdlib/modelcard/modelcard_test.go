package modelcard

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banter/stdlib/dataset"
	"banter/stdlib/eval"
	"banter/stdlib/lm"
	"banter/stdlib/lm/gguf"
	"banter/stdlib/train"

	"gopkg.in/yaml.v3"
)

const hostile = "x\n---\nlicense: mit\n# \"<script>alert(1)</script> | `a` [b](javascript:c) *d*"

func card() Card {
	return Card{
		Name: hostile, Form: "LoRA adapter", Adapter: true, Base: Base{hostile, strings.Repeat("a", 64), hostile, "its README.md"},
		Run:   train.Record{Engine: "go", Options: train.Options{Rank: 8, Alpha: 16, Targets: []string{"q_proj", hostile}}, Stopped: "done", Looks: []train.Look{{Loss: 3}, {Loss: 2}}},
		Rows:  []dataset.Row{{Stream: "s1", Split: dataset.Train, Filters: []string{hostile}}, {Stream: "s2", Split: dataset.Holdout, Filters: []string{hostile}}},
		Steps: []Step{{"load", hostile, strings.Repeat("b", 64)}}, Report: &eval.Report{Skipped: []eval.Skipped{{ID: hostile, Reason: hostile}}}, Note: hostile,
	}
}

func TestHostileTextStaysText(t *testing.T) {
	var b bytes.Buffer
	if err := card().Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	parts := strings.SplitN(text, "---\n", 3)
	inLine := strings.Join(strings.Fields(hostile), " ")
	var front map[string]any
	if err := yaml.Unmarshal([]byte(parts[1]), &front); err != nil || front["base_model"] != inLine || front["license"] != inLine || front["library_name"] != "peft" {
		t.Errorf("front matter %v, %v", front, err)
	}
	body := parts[2]
	for _, line := range strings.Split(body, "\n") {
		plain := line
		for _, fence := range []string{"``", "`"} { // what stands in code spans is text already
			for {
				from := strings.Index(plain, fence)
				to := -1
				if from >= 0 {
					to = strings.Index(plain[from+len(fence):], fence)
				}
				if to < 0 {
					break
				}
				plain = plain[:from] + plain[from+2*len(fence)+to:]
			}
		}
		for _, bad := range []string{"<script", "](java", " *d*"} {
			if strings.Contains(plain, bad) && !strings.Contains(plain, `\`+strings.TrimSpace(bad)) {
				t.Errorf("%q is live in %q", bad, line)
			}
		}
		if strings.HasPrefix(line, "license:") || line == "---" {
			t.Errorf("line %q of its own", line)
		}
	}
	for _, want := range []string{"1 pairs of speech and chat from 2 streams", "held-out loss a token 3 before, 2 after", "## Evaluation\n\n| |"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in\n%s", want, body)
		}
	}
}

func TestWithoutEvaluationAndLicence(t *testing.T) {
	c := card()
	c.Report, c.Base, c.Adapter = nil, Base{Name: "m", SHA256: "00"}, false
	var b bytes.Buffer
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Nothing was measured", "does not say under which licence", "library_name: transformers"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(b.String(), "\nlicense:") {
		t.Error("a licence that nobody gave")
	}
}

func TestLicenceOf(t *testing.T) {
	for name, c := range map[string]struct {
		files   map[string]string
		licence string
	}{
		"front matter":     {map[string]string{"README.md": "---\nlicense: apache-2.0\n---\n# x"}, "apache-2.0"},
		"a name":           {map[string]string{"README.md": "---\nlicense: other\nlicense_name: our-own\n---\n"}, "our-own"},
		"a file":           {map[string]string{"README.md": "# x", "LICENSE": "\n  Some Licence\nText"}, "Some Licence"},
		"nothing":          {map[string]string{"README.md": "# license: mit"}, ""},
		"bad front matter": {map[string]string{"README.md": "---\n: [\n---\n"}, ""},
	} {
		dir := t.TempDir()
		for file, content := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, source, err := LicenceOf(&lm.Model{Dir: dir}); err != nil || got != c.licence || (source == "") != (got == "") {
			t.Errorf("%s: %q by %q, %v", name, got, source, err)
		}
	}
	m := &lm.Model{Dir: t.TempDir(), GGUF: &gguf.File{Metadata: map[string]any{"general.license": "mit"}}}
	if got, _, err := LicenceOf(m); err != nil || got != "mit" {
		t.Errorf("GGUF: %q, %v", got, err)
	}
}
