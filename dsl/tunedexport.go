package dsl

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banter/dsl/memo"
	"banter/internal/worker/native"
	"banter/stdlib/eval"
	"banter/stdlib/lm"
	"banter/stdlib/lm/adapter"
	"banter/stdlib/lm/merge"
	"banter/stdlib/lm/ollama"
	"banter/stdlib/lm/sampling"
	"banter/stdlib/modelcard"
	"banter/stdlib/models"
	"banter/stdlib/train"
)

// ExportOption changes the form in which Export writes what Train gave.
type ExportOption func(*exportOptions)

type exportOptions struct {
	Form   string `json:"form"` // a constant below
	Type   string `json:"type"` // of the weights; empty: as the base has them
	System string `json:"system,omitempty"`
	report *Evaluation
}

// The forms of an exported model.
const (
	adapterForm = "adapter"
	mergedForm  = "merged"
	ggufForm    = "gguf"
	ollamaForm  = "ollama"
)

// Merged writes base and adapter as one model: a Hugging Face folder with tokenizer and chat template. weights is "F32",
// "F16" or "BF16", or left out: as the base has them.
func Merged(weights ...string) ExportOption {
	return func(o *exportOptions) { o.Form, o.Type = mergedForm, strings.Join(weights, ",") }
}

// GGUF writes base and adapter as one GGUF file, model.gguf. weights is "F32", "F16", "BF16" or "Q8_0", or, by llama.cpp in
// the native worker, "Q4_0", "Q4_K", "Q5_K" or "Q6_K".
func GGUF(weights string) ExportOption {
	return func(o *exportOptions) { o.Form, o.Type = ggufForm, weights }
}

// Ollama writes a folder with a Modelfile for `ollama create`. With weights, which are those of GGUF, base and adapter are
// one model; without, the adapter stands beside the base.
func Ollama(weights ...string) ExportOption {
	return func(o *exportOptions) { o.Form, o.Type = ollamaForm, strings.Join(weights, ",") }
}

// SystemPrompt is what Ollama's Modelfile tells the model before each conversation.
func SystemPrompt(text string) ExportOption { return func(o *exportOptions) { o.System = text } }

// Measured puts what an evaluation found into the model card.
func Measured(e Evaluation) ExportOption { return func(o *exportOptions) { o.report = &e } }

// exportTuned makes what an export of an adapter consists of besides Train's own outputs: the model card, and other forms.
func (s *Session) exportTuned(t Tuned, o exportOptions) (memo.Manifest, error) {
	o.Form = cmp.Or(o.Form, adapterForm)
	if o.System != "" && o.Form != ollamaForm {
		return memo.Manifest{}, errors.New("a SystemPrompt has its place in a Modelfile: say Ollama() too")
	}
	model, err := models.Resolve(s.ctx, t.base)
	if err != nil {
		return memo.Manifest{}, err
	}
	step := memo.Step{Verb: "export", Label: strings.TrimSpace(o.Form + " " + o.Type), Reads: []memo.Key{t.step.Key}}.
		With("base", model.SHA256).With("options", o).With("names", []string{model.Name, filepath.Base(t.base)}).With("lineage", s.lineage(t.step))
	inputs := map[string]struct {
		m    memo.Manifest
		file string
	}{"adapter": {t.step, "adapter_model.safetensors"}, "run": {t.step, runFile}, "rows": {t.rows.step, rowsFile}}
	if o.report != nil {
		step.Reads = append(step.Reads, o.report.step.Key)
		inputs["evaluation"] = struct {
			m    memo.Manifest
			file string
		}{o.report.step, evaluationFile}
	}
	for name, source := range inputs {
		output, err := source.m.Output(source.file)
		if err != nil {
			return memo.Manifest{}, err
		}
		step = step.With("input."+name, output.Digest)
	}
	if slices.Contains(llamaTypes, o.Type) {
		identity, err := s.llamaIdentity()
		if err != nil {
			return memo.Manifest{}, fmt.Errorf("weights of type %s are llama.cpp's work: %w", o.Type, err)
		}
		step = step.With("engine", identity)
		step.Varies = "llama.cpp's arithmetic differs by processor"
	}
	return s.do(step, func(ctx context.Context, d *memo.Draft) error { return s.exportInto(ctx, d, t, model, o) })
}

// llamaTypes are the types that llama.cpp makes of F16.
var llamaTypes = []string{"Q4_0", "Q4_K", "Q5_K", "Q6_K"}

// llamaIdentity is what of the native engine can change what llama.cpp computes.
func (s *Session) llamaIdentity() (string, error) {
	raw, _, err := s.pool.Call(s.ctx, native.MethodInfo, nil, nil)
	if err != nil {
		return "", err
	}
	var info native.Info
	if err := json.Unmarshal(raw, &info); err != nil {
		return "", err
	}
	parts := []string{"llama " + info.Llama, "ggml " + info.GGML}
	for _, b := range info.Backends {
		parts = append(parts, b.Name)
	}
	return strings.Join(parts, ", "), nil
}

func (s *Session) exportInto(ctx context.Context, d *memo.Draft, t Tuned, model models.Model, o exportOptions) error {
	b, err := openBase(model)
	if err != nil {
		return err
	}
	defer b.Close()
	a, err := s.adapter(t)
	if err != nil {
		return err
	}
	form := "LoRA adapter"
	switch o.Form {
	case mergedForm:
		form, err = writeMerged(d, b, a, o)
	case ggufForm:
		form = "merged model, GGUF " + o.Type
		err = s.writeGGUF(ctx, d, "model.gguf", b, a, model.Name, o.Type)
	case ollamaForm:
		form, err = s.writeOllama(ctx, d, b, a, model, o)
	}
	if err != nil {
		return err
	}
	card, err := s.card(t, b.Model, model, o)
	if err != nil {
		return err
	}
	card.Form = form
	return d.Write("README.md", card.Write)
}

// weightTypes are the types that this program writes itself.
var weightTypes = map[string]lm.Type{"F32": lm.F32, "F16": lm.F16, "BF16": lm.BF16, "Q8_0": lm.Q8_0}

func writeMerged(d *memo.Draft, b *base, a *adapter.Adapter, o exportOptions) (form string, err error) {
	m, err := merge.New(b.Model, a)
	if err != nil {
		return "", err
	}
	kind := m.StoredType()
	if o.Type != "" {
		var ok bool
		if kind, ok = weightTypes[o.Type]; !ok {
			return "", fmt.Errorf("a merged folder cannot have weights %q (use F32, F16 or BF16)", o.Type)
		}
	}
	files, err := m.Files(kind)
	if err != nil {
		return "", err
	}
	for name, data := range files {
		if err := d.WriteBytes(name, data); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("merged model, %v", kind), d.Write("model.safetensors", func(w io.Writer) error { return m.WriteSafetensors(w, kind) })
}

// writeGGUF writes the base, with the adapter where that is not nil, as a GGUF file.
func (s *Session) writeGGUF(ctx context.Context, d *memo.Draft, file string, b *base, a *adapter.Adapter, name, weights string) error {
	m, err := merge.New(b.Model, a)
	if err != nil {
		return err
	}
	if kind, ok := weightTypes[weights]; ok {
		return d.Write(file, func(w io.Writer) error { return m.WriteGGUF(w, kind, name, b.Format) })
	}
	if !slices.Contains(llamaTypes, weights) {
		return fmt.Errorf("weights %q are not known (use F32, F16, BF16, Q8_0, %s)", weights, strings.Join(llamaTypes, ", "))
	}
	scratch, err := d.Scratch()
	if err != nil {
		return err
	}
	wide, narrow := filepath.Join(scratch, "f16.gguf"), filepath.Join(scratch, "narrow.gguf")
	f, err := os.Create(wide)
	if err != nil {
		return err
	}
	if err := errors.Join(m.WriteGGUF(f, lm.F16, name, b.Format), f.Close()); err != nil {
		return err
	}
	if _, _, err := s.pool.Call(ctx, native.MethodQuantize, native.QuantizeParams{Model: wide, To: narrow, Type: weights}, nil); err != nil {
		return err
	}
	return d.Import(file, narrow)
}

func (s *Session) writeOllama(ctx context.Context, d *memo.Draft, b *base, a *adapter.Adapter, model models.Model, o exportOptions) (form string, err error) {
	file := ollama.Modelfile{From: "model.gguf", System: o.System, Sampling: usualSampling, Context: min(b.Config.MaxPositions, 4096)}
	switch {
	case o.Type != "":
		form = "merged model for Ollama, GGUF " + o.Type
		err = s.writeGGUF(ctx, d, file.From, b, a, model.Name, o.Type)
	case b.Model.GGUF != nil:
		form, file.From, file.Adapter = "LoRA adapter for Ollama beside its base", "base.gguf", "adapter.gguf"
		err = d.Import(file.From, model.Path)
	default:
		form, file.From, file.Adapter = "LoRA adapter for Ollama beside its base in F16", "base.gguf", "adapter.gguf"
		err = s.writeGGUF(ctx, d, file.From, b, nil, model.Name, "F16")
	}
	if err != nil {
		return "", err
	}
	if file.Adapter != "" {
		if err := d.Write(file.Adapter, func(w io.Writer) error { return a.WriteGGUF(w, b.Config) }); err != nil {
			return "", err
		}
	}
	text, err := file.Write(b.Format)
	if err != nil {
		return "", err
	}
	return form, d.WriteBytes("Modelfile", []byte(text))
}

// usualSampling is how answers are drawn unless a cell says otherwise. Min-p keeps a model that has just learnt new words
// from tokens that it knows nothing of.
var usualSampling = sampling.Sampling{Temperature: 0.8, TopP: 0.95, MinP: 0.1}

// card says where the model comes from.
func (s *Session) card(t Tuned, opened *lm.Model, model models.Model, o exportOptions) (modelcard.Card, error) {
	c := modelcard.Card{Name: model.Name + " tuned on chat", Adapter: o.Form == adapterForm || o.Form == ollamaForm && o.Type == "",
		Base: modelcard.Base{Name: model.Name, SHA256: model.SHA256}}
	var err error
	if entry, ok := models.Lookup(t.base); ok {
		c.Base.Licence, c.Base.Source = entry.Licence, "the list of models"
	} else if c.Base.Licence, c.Base.Source, err = modelcard.LicenceOf(opened); err != nil {
		return c, err
	}
	var run train.Record
	if err := s.readJSON(t.step, runFile, &run); err != nil {
		return c, err
	}
	c.Run = run
	rows := t.rows
	rows.split = ""
	if c.Rows, err = s.rows(rows); err != nil {
		return c, err
	}
	for _, key := range s.lineage(t.step) {
		if m, ok, err := s.store.Lookup(memo.Key(key)); err == nil && ok {
			c.Steps = append(c.Steps, modelcard.Step{Verb: m.Verb, Label: m.Label, Key: key})
		}
	}
	if o.report == nil {
		return c, nil
	}
	out, err := o.report.step.Output(evaluationFile)
	if err != nil {
		return c, err
	}
	raw, err := s.store.Read(out)
	if err != nil {
		return c, err
	}
	c.Report, err = eval.ReadReport(raw)
	return c, err
}
