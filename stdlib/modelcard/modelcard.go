// Package modelcard writes the README of a trained model: what it is, which base and which data it was made from, by
// which run, what was measured before and after, and what its base's licence asks. The record of a training and an
// evaluation flow in; Markdown with the front matter that model hubs read flows out. All text from outside is escaped.
package modelcard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"banter/internal/markdown"
	"banter/stdlib/dataset"
	"banter/stdlib/eval"
	"banter/stdlib/lm"
	"banter/stdlib/train"

	"gopkg.in/yaml.v3"
)

// Card is what there is to say of a model.
type Card struct {
	Name    string
	Form    string // what the folder holds: "LoRA adapter", "merged model, F16"
	Adapter bool   // the base is needed beside it
	Base    Base
	Run     train.Record
	Rows    []dataset.Row // that it was trained and evaluated on
	Steps   []Step        // that led to it, the first one first
	Report  *eval.Report  // nil: nothing was measured
	Note    string        // a paragraph of the author's own; may be empty
}

// Base is the base model as far as it says.
type Base struct {
	Name    string
	SHA256  string // of its weights
	Licence string // empty where it does not say
	Source  string // where that stands: "its README.md"
}

// Step is one step of the lineage.
type Step struct {
	Verb, Label, Key string
}

// maxReadme bounds a base's README.md, in bytes.
const maxReadme = 1 << 20

// LicenceOf finds what an opened base says of its licence: in a GGUF file's metadata, in the front matter of README.md, or
// by the first line of a LICENSE file. Where it says nothing, both are empty.
func LicenceOf(m *lm.Model) (licence, source string, err error) {
	if m.GGUF != nil {
		if licence, ok := m.GGUF.String("general.license"); ok && licence != "" {
			return licence, "general.license of its GGUF file", nil
		}
	}
	read := func(name string) ([]byte, error) {
		f, err := os.Open(filepath.Join(m.Dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, maxReadme))
	}
	readme, err := read("README.md")
	if err != nil {
		return "", "", fmt.Errorf("read the base's licence: %w", err)
	}
	if rest, ok := bytes.CutPrefix(readme, []byte("---\n")); ok {
		if front, _, ok := bytes.Cut(rest, []byte("\n---")); ok {
			var says struct {
				Licence any    `yaml:"license"`
				Name    string `yaml:"license_name"`
			}
			if yaml.Unmarshal(front, &says) == nil { // a README that is no hub's says nothing
				if text, ok := says.Licence.(string); ok && text != "" {
					if text == "other" && says.Name != "" {
						text = says.Name
					}
					return text, "its README.md", nil
				}
			}
		}
	}
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"} {
		text, err := read(name)
		if err != nil {
			return "", "", fmt.Errorf("read the base's licence: %w", err)
		}
		if first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n"); first != "" {
			return string([]rune(first)[:min(len([]rune(first)), 80)]), "its " + name, nil
		}
	}
	return "", "", nil
}

// Write writes the card.
func (c Card) Write(w io.Writer) error {
	var b bytes.Buffer
	if err := c.front(&b); err != nil {
		return err
	}
	text := markdown.Text
	fmt.Fprintf(&b, "# %s\n\n%s, made with Banter: it answers what is said in a stream as that stream's chat did.\n", text(c.Name), text(c.Form))
	if c.Note != "" {
		fmt.Fprintf(&b, "\n%s\n", text(c.Note))
	}
	c.base(&b)
	c.data(&b)
	o := c.Run.Options
	fmt.Fprintf(&b, "\n## Training\n\nLoRA of rank %d and alpha %v on %s; loss on the responses alone. %d steps of at most %d rows with %d gradients each, peak learning rate %v, AdamW, seed %d; %d tokens were learned in one pass. Engine: %s. Ended: %s",
		o.Rank, o.Alpha, text(strings.Join(o.Targets, ", ")), len(c.Run.History), o.BatchRows, o.GradAccum, o.LR, o.Seed, c.Run.Learned, text(c.Run.Engine), text(c.Run.Stopped))
	if n := len(c.Run.Looks); n > 0 {
		fmt.Fprintf(&b, "; held-out loss a token %.4g before, %.4g after", c.Run.Looks[0].Loss, c.Run.Looks[n-1].Loss)
	}
	b.WriteString(".\n\n## Evaluation\n\n")
	if c.Report == nil {
		b.WriteString("Nothing was measured when this was written.\n")
	} else {
		b.WriteString(c.Report.Table())
	}
	b.WriteString("\n## Recipe\n\nEach step's key is a digest of all that its result depends on: the same recipe on the same inputs gives the same keys.\n\n")
	for _, s := range c.Steps {
		fmt.Fprintf(&b, "- %s %s %s\n", text(s.Verb), text(s.Label), markdown.Code(s.Key))
	}
	b.WriteString("\n## Limits\n\nIt imitates the manner of one chat, its jokes and its rudeness included, and knows no more than its base. It was trained on words of people who did not write them for this use: make sure of the right to share it, label what it writes as written by a model, and do not let it speak in the name of a person.\n")
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("write model card: %w", err)
	}
	return nil
}

func (c Card) front(b *bytes.Buffer) error {
	front := struct {
		BaseModel string   `yaml:"base_model,omitempty"`
		Relation  string   `yaml:"base_model_relation,omitempty"`
		Library   string   `yaml:"library_name,omitempty"`
		Licence   string   `yaml:"license,omitempty"`
		Task      string   `yaml:"pipeline_tag"`
		Tags      []string `yaml:"tags"`
	}{BaseModel: line(c.Base.Name), Relation: "merge", Library: "transformers", Task: "text-generation", Tags: []string{"banter", "lora"}}
	if c.Adapter {
		front.Relation, front.Library = "adapter", "peft"
	}
	front.Licence = line(c.Base.Licence)
	y, err := yaml.Marshal(front)
	if err != nil {
		return fmt.Errorf("write model card: %w", err)
	}
	fmt.Fprintf(b, "---\n%s---\n\n", y)
	return nil
}

// line is s in one line: hubs look for the end of the front matter before they read it as YAML.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }

func (c Card) base(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n## Base\n\n%s, weights %s.", markdown.Text(c.Base.Name), markdown.Code("sha256:"+c.Base.SHA256))
	if c.Base.Licence == "" {
		b.WriteString(" It does not say under which licence it stands: find that out before sharing what was made of it.\n")
		return
	}
	fmt.Fprintf(b, " Licence: %s, says %s; what was made of it is bound by that too.\n", markdown.Text(c.Base.Licence), markdown.Text(c.Base.Source))
}

func (c Card) data(b *bytes.Buffer) {
	learned, held, streams := 0, 0, map[string]bool{}
	var filters []string
	seen := map[string]bool{}
	for i := range c.Rows {
		r := &c.Rows[i]
		streams[r.Stream] = true
		if r.Split == dataset.Holdout {
			held++
		} else {
			learned++
		}
		for _, f := range r.Filters {
			if !seen[f] {
				seen[f] = true
				filters = append(filters, f)
			}
		}
	}
	fmt.Fprintf(b, "\n## Data\n\n%d pairs of speech and chat from %d streams to train on, %d held out by stretches of time. ", learned, len(streams), held)
	b.WriteString("Each row names its recording, words and message; authors are salted digests.\n")
	if len(filters) > 0 {
		b.WriteString("\nFilters, in order:\n\n")
		for _, f := range filters {
			fmt.Fprintf(b, "- %s\n", markdown.Code(f))
		}
	}
}
