// Package models finds model files: by path, or by a name from a registry that knows where each comes from, how large it
// is, what its digest is and how it wants to be used. It fetches, checks and keeps them.
package models

// Kind is what a model does.
type Kind string

// The kinds of model.
const (
	ASR Kind = "asr" // speech to words, in whisper.cpp's form
	VAD Kind = "vad" // where somebody speaks, in whisper.cpp's form
	LM  Kind = "lm"  // language model: a Hugging Face folder, or a GGUF file
)

// Model is a model that is there.
type Model struct {
	Name   string `json:"name"`   // the registry's name, or the file's without its ending
	Path   string `json:"-"`      // of the file, or of the folder; no part of the model's identity
	SHA256 string `json:"sha256"` // of the file; of a folder, that of its list of digests
	Kind   Kind   `json:"kind"`
	Quirks Quirks `json:"quirks"`
}

// Quirks are what a model wants its user to do, beyond what its file says. They stand in the registry, or for a model
// that it does not list in a JSON file beside the model, named as the model with ".json" added.
type Quirks struct {
	// DTWHeads are the decoder's attention heads that follow the audio, from which word times are read.
	DTWHeads []Head `json:"dtw_heads,omitempty"`
	// DTWPreset is whisper.cpp's name for a known model's heads, instead of DTWHeads.
	DTWPreset string `json:"dtw_preset,omitempty"`
	// NoTextContext: earlier text in the prompt makes the model lose its place.
	NoTextContext bool `json:"no_text_context,omitempty"`
	// Language is the only one that the model knows, or empty.
	Language string `json:"language,omitempty"`
	// MarksTurns: the model is trained to mark turns of speakers (tinydiarize).
	MarksTurns bool `json:"marks_turns,omitempty"`
}

// Head is one attention head of a decoder, named by its layer and its place in it, both from 0.
type Head struct {
	Layer int `json:"layer"`
	Head  int `json:"head"`
}
