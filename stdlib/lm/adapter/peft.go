package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"banter/internal/problem"
	"banter/internal/wholefile"
	"banter/stdlib/lm"
	"banter/stdlib/lm/safetensors"
)

// The files of a PEFT folder.
const (
	configFile  = "adapter_config.json"
	weightsFile = "adapter_model.safetensors"
)

// maxConfig bounds adapter_config.json, in bytes.
const maxConfig = 1 << 20

// The keys of the safetensors metadata in which the base's digest travels; PEFT ignores them.
const (
	baseDigestKey = "banter.base_digest"
	formatKey     = "format"
)

// peftConfig is adapter_config.json, as peft.LoraConfig writes and reads it.
type peftConfig struct {
	AlphaPattern      map[string]any `json:"alpha_pattern"`
	BaseModel         *string        `json:"base_model_name_or_path"`
	Bias              string         `json:"bias"`
	FanInFanOut       bool           `json:"fan_in_fan_out"`
	InferenceMode     bool           `json:"inference_mode"`
	InitLoRAWeights   any            `json:"init_lora_weights"`
	LoRAAlpha         float64        `json:"lora_alpha"`
	LoRADropout       float64        `json:"lora_dropout"`
	ModulesToSave     []string       `json:"modules_to_save"`
	PEFTType          string         `json:"peft_type"`
	Rank              int            `json:"r"`
	RankPattern       map[string]any `json:"rank_pattern"`
	TargetModules     any            `json:"target_modules"`
	TaskType          string         `json:"task_type"`
	UseDoRA           bool           `json:"use_dora"`
	UseRankStabilized bool           `json:"use_rslora"`

	// These are only looked at, to refuse what they ask for.
	LoRABias         bool `json:"lora_bias,omitempty"`
	QALoRA           bool `json:"use_qalora,omitempty"`
	TrainableTokens  any  `json:"trainable_token_indices,omitempty"`
	TargetParameters any  `json:"target_parameters,omitempty"`
	LayerReplication any  `json:"layer_replication,omitempty"`
	ALoRAInvocation  any  `json:"alora_invocation_tokens,omitempty"`
	KasaConfig       any  `json:"kasa_config,omitempty"`
	MonteCLoRAConfig any  `json:"monteclora_config,omitempty"`
	VeLoRAConfig     any  `json:"velora_config,omitempty"`
	ArrowConfig      any  `json:"arrow_config,omitempty"`
	UseBDLoRA        any  `json:"use_bdlora,omitempty"`
}

// Write writes a PEFT folder: adapter_config.json and adapter_model.safetensors. Each file appears whole or not at all.
func (a *Adapter) Write(dir string) error {
	if err := a.checkFactors(); err != nil {
		return &problem.Error{Op: "write adapter", Path: dir, Err: err}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return &problem.Error{Op: "write adapter", Path: dir, Err: err}
	}
	var weights bytes.Buffer
	if err := a.WriteSafetensors(&weights); err != nil {
		return &problem.Error{Op: "write adapter", Path: dir, Err: err}
	}
	config, err := a.PEFTConfig()
	if err != nil {
		return &problem.Error{Op: "write adapter", Path: dir, Err: err}
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{weightsFile, weights.Bytes()}, {configFile, config}} {
		if err := wholefile.WriteBytes(filepath.Join(dir, f.name), 0o644, f.data); err != nil {
			return &problem.Error{Op: "write adapter", Path: dir, At: f.name, Err: err}
		}
	}
	return nil
}

// PEFTConfig returns the bytes of adapter_config.json.
func (a *Adapter) PEFTConfig() ([]byte, error) {
	c := peftConfig{
		AlphaPattern: map[string]any{}, BaseModel: &a.BaseName, Bias: "none", InferenceMode: true, InitLoRAWeights: true,
		LoRAAlpha: a.Alpha, PEFTType: "LORA", Rank: a.Rank, RankPattern: map[string]any{}, TargetModules: a.Targets,
		TaskType: "CAUSAL_LM", UseRankStabilized: a.RankStabilized,
	}
	b, err := json.MarshalIndent(c, "", "  ")
	return append(b, '\n'), err
}

// WriteSafetensors writes the factors as adapter_model.safetensors holds them.
func (a *Adapter) WriteSafetensors(w io.Writer) error {
	var tensors []safetensors.Tensor
	for _, name := range a.Modules() {
		p := a.Pairs[name]
		tensors = append(tensors,
			safetensors.Tensor{Name: peftPrefix + name + suffixA, DType: "F32", Shape: []int{a.Rank, p.In}, Data: floatBytes(p.A)},
			safetensors.Tensor{Name: peftPrefix + name + suffixB, DType: "F32", Shape: []int{p.Out, a.Rank}, Data: floatBytes(p.B)})
	}
	metadata := map[string]string{formatKey: "pt"}
	if a.Base != "" {
		metadata[baseDigestKey] = a.Base
	}
	return safetensors.Write(w, tensors, metadata)
}

// How PEFT names the factors of a module.
const (
	peftPrefix = "base_model.model."
	suffixA    = ".lora_A.weight"
	suffixB    = ".lora_B.weight"
)

// Read reads a PEFT folder. What Banter cannot compute with (DoRA, per-layer ranks, trained biases or embeddings) is
// refused, never left out.
func Read(dir string) (*Adapter, error) {
	fail := func(at string, err error) (*Adapter, error) {
		return nil, &problem.Error{Op: "read adapter", Path: dir, At: at, Err: err, Fix: "point at a PEFT LoRA folder with " + configFile + " and " + weightsFile}
	}
	config, err := readBounded(filepath.Join(dir, configFile), maxConfig)
	if err != nil {
		return fail(configFile, err)
	}
	a, err := parseConfig(config)
	if err != nil {
		return fail(configFile, err)
	}
	weights, err := os.ReadFile(filepath.Join(dir, weightsFile))
	if err != nil {
		return fail(weightsFile, err)
	}
	if err := a.parseWeights(weights); err != nil {
		return fail(weightsFile, err)
	}
	return a, nil
}

// readBounded reads a file that must not be larger than limit.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	return b, nil
}

// parseConfig reads adapter_config.json into an adapter without factors.
func parseConfig(data []byte) (*Adapter, error) {
	var c peftConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	refuse := func(bad bool, what string) error {
		if bad {
			return fmt.Errorf("%s is not supported", what)
		}
		return nil
	}
	if err := errors.Join(
		refuse(c.PEFTType != "LORA", fmt.Sprintf("peft_type %q", c.PEFTType)),
		refuse(c.Bias != "" && c.Bias != "none", fmt.Sprintf("bias %q", c.Bias)),
		refuse(c.UseDoRA, "use_dora"),
		refuse(c.FanInFanOut, "fan_in_fan_out"),
		refuse(c.LoRABias, "lora_bias"),
		refuse(c.QALoRA, "use_qalora"),
		refuse(len(c.ModulesToSave) > 0, "modules_to_save"),
		refuse(len(c.RankPattern) > 0 || len(c.AlphaPattern) > 0, "a rank or alpha that differs by layer"),
		refuse(c.TrainableTokens != nil, "trainable_token_indices"),
		refuse(c.TargetParameters != nil, "target_parameters"),
		refuse(c.LayerReplication != nil, "layer_replication"),
		refuse(c.ALoRAInvocation != nil, "alora_invocation_tokens"),
		refuse(c.KasaConfig != nil, "kasa_config"),
		refuse(c.MonteCLoRAConfig != nil, "monteclora_config"),
		refuse(c.VeLoRAConfig != nil, "velora_config"),
		refuse(c.ArrowConfig != nil, "arrow_config"),
		refuse(c.UseBDLoRA != nil && c.UseBDLoRA != false, "use_bdlora"),
	); err != nil {
		return nil, err
	}
	if c.Rank < 1 || c.Rank > 1<<16 {
		return nil, fmt.Errorf("r is %d", c.Rank)
	}
	if !(c.LoRAAlpha > 0) {
		return nil, fmt.Errorf("lora_alpha is %v", c.LoRAAlpha)
	}
	a := &Adapter{Rank: c.Rank, Alpha: c.LoRAAlpha, RankStabilized: c.UseRankStabilized, Pairs: map[string]*Pair{}}
	if c.BaseModel != nil {
		a.BaseName = *c.BaseModel
	}
	return a, nil
}

// parseWeights reads the factors; the targets are those projections that have some.
func (a *Adapter) parseWeights(data []byte) error {
	f, err := safetensors.Parse(data)
	if err != nil {
		return err
	}
	a.Base = f.Metadata[baseDigestKey]
	targets := map[string]bool{}
	hasA, hasB := map[string]bool{}, map[string]bool{}
	for _, t := range f.Tensors {
		name, ok := strings.CutPrefix(t.Name, peftPrefix)
		if !ok || len(t.Shape) != 2 {
			return fmt.Errorf("tensor %q of shape %v is no LoRA factor", t.Name, t.Shape)
		}
		values, err := lm.SafetensorsFloat32(t)
		if err != nil {
			return err
		}
		rows, columns := t.Shape[0], t.Shape[1]
		module, isA := strings.CutSuffix(name, suffixA)
		if !isA {
			var isB bool
			if module, isB = strings.CutSuffix(name, suffixB); !isB {
				return fmt.Errorf("tensor %q is no LoRA factor", t.Name)
			}
		}
		p := a.Pairs[module]
		if p == nil {
			p = &Pair{}
			a.Pairs[module] = p
			targets[module[strings.LastIndexByte(module, '.')+1:]] = true
		}
		if isA {
			if rows != a.Rank {
				return fmt.Errorf("tensor %q has rank %d, adapter_config.json says %d", t.Name, rows, a.Rank)
			}
			p.In, p.A, hasA[module] = columns, values, true
		} else {
			if columns != a.Rank {
				return fmt.Errorf("tensor %q has rank %d, adapter_config.json says %d", t.Name, columns, a.Rank)
			}
			p.Out, p.B, hasB[module] = rows, values, true
		}
	}
	if len(a.Pairs) == 0 {
		return errors.New("the file holds no LoRA factors")
	}
	for _, module := range a.Modules() {
		if !hasA[module] || !hasB[module] {
			return fmt.Errorf("module %s has only one of its two factors", module)
		}
	}
	for t := range targets {
		a.Targets = append(a.Targets, t)
	}
	slices.Sort(a.Targets)
	return a.checkFactors()
}
