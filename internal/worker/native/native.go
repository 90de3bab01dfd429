// Package native says what can be asked of banter-engine, the worker that holds whisper.cpp and llama.cpp: the methods,
// their parameters and their results. The worker and its callers share it; neither side needs the other's code.
//
// Samples and vectors travel as a frame's payload, as little-endian float32 ([Floats], [Bytes]). Samples are 16 kHz mono.
package native

import (
	"encoding/binary"
	"fmt"
	"math"

	"banter/stdlib/lm/sampling"
)

// SampleRate is that of all samples, in samples per second.
const SampleRate = 16000

// The methods of banter-engine.
const (
	MethodInfo       = "info"       // no parameters; [Info]
	MethodTranscribe = "transcribe" // [TranscribeParams] and samples; [Transcription]
	MethodVAD        = "vad"        // [VADParams] and samples; [Speech]
	MethodModel      = "model"      // [LMParams]; [LMInfo]
	MethodTokenize   = "tokenize"   // [TokenizeParams]; [Tokens]
	MethodGenerate   = "generate"   // [GenerateParams]; [Generated]
	MethodScore      = "score"      // [ScoreParams]; [Scores]
	MethodEmbed      = "embed"      // [EmbedParams]; [Embedding] and the vectors, one after another
	MethodQuantize   = "quantize"   // [QuantizeParams]; nothing
)

// Info is what a worker is made of.
type Info struct {
	Whisper  string    `json:"whisper"` // versions of the libraries
	Llama    string    `json:"llama"`
	GGML     string    `json:"ggml"`
	Backends []Backend `json:"backends"`
	Devices  []Device  `json:"devices"`
}

// Backend is one of ggml's ways to compute.
type Backend struct {
	Name     string   `json:"name"`     // "CPU", "CUDA", "Metal", "Vulkan"
	Features []string `json:"features"` // "AVX2", "FMA" and the like, as the backend names them
}

// Device is something that a backend computes on.
type Device struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Kind        string `json:"kind"` // "cpu", "gpu", "integrated gpu", "accelerator"
	MemoryFree  uint64 `json:"memory_free"`
	MemoryTotal uint64 `json:"memory_total"` // bytes; 0 where not known
}

// Head is one attention head of a decoder, named by its layer and its place in it, both from 0.
type Head struct {
	Layer int `json:"layer"`
	Head  int `json:"head"`
}

// TranscribeParams ask for the words in some samples.
type TranscribeParams struct {
	Model   string `json:"model"` // path of a whisper.cpp model
	Threads int    `json:"threads"`
	GPU     bool   `json:"gpu"` // use one, if there is one

	Language  string `json:"language"` // ISO 639-1; empty: detect it
	Translate bool   `json:"translate"`
	Prompt    string `json:"prompt"` // text that is taken as said just before

	Beam              int     `json:"beam"`             // beam width; below 2: greedy
	BestOf            int     `json:"best_of"`          // candidates at temperatures above 0, when greedy
	Temperature       float32 `json:"temperature"`      // the first
	TemperatureStep   float32 `json:"temperature_step"` // added at each retry of a window that looks wrong; 0: no retries
	MaxEntropy        float32 `json:"max_entropy"`      // a window whose last tokens have a lower entropy than this is retried as a loop
	MinLogProb        float32 `json:"min_logprob"`      // a window with a lower mean is retried
	NoSpeech          float32 `json:"no_speech"`        // probability of no speech above which a bad window is dropped
	MaxContext        int     `json:"max_context"`      // tokens of earlier text as context; 0: none; -1: the model's own limit
	SuppressBlank     bool    `json:"suppress_blank"`
	SuppressNonSpeech bool    `json:"suppress_non_speech"` // never give tokens such as musical notes
	SuppressRegex     string  `json:"suppress_regex"`
	MaxTokens         int     `json:"max_tokens"`  // in a segment; 0: no limit
	Turns             bool    `json:"turns"`       // the model is trained to mark turns of speakers (tinydiarize)
	DTWHeads          []Head  `json:"dtw_heads"`   // heads whose attention follows the audio, for dynamic time warping
	DTWPreset         string  `json:"dtw_preset"`  // the same by name, as whisper.cpp lists them: "tiny.en", "large.v3.turbo"
	DTWTopMost        int     `json:"dtw_topmost"` // the same for a model of which nothing is known: all heads of its last layers
}

// Transcription is what was said. Times are milliseconds from the first sample.
type Transcription struct {
	Language string    `json:"language"`
	Segments []Segment `json:"segments"`
}

// Segment is a run of tokens that the model ended with a time.
type Segment struct {
	StartMS  int64   `json:"start_ms"`
	EndMS    int64   `json:"end_ms"`
	NoSpeech float32 `json:"no_speech"` // probability, of the window that the segment is in
	TurnNext bool    `json:"turn_next"` // another speaker follows
	Tokens   []Token `json:"tokens"`    // text alone: special tokens are left out
}

// Token is a piece of text.
type Token struct {
	ID      int32   `json:"id"`
	Text    []byte  `json:"text"` // with its leading space; may be a part of a character
	Prob    float32 `json:"p"`
	LogProb float32 `json:"logp"`
	StartMS int64   `json:"t0"`  // from timestamp tokens' probabilities and the loudness of the audio
	EndMS   int64   `json:"t1"`  // the same
	DTWMS   int64   `json:"dtw"` // from attention; -1 where there is none
}

// VADParams ask where somebody speaks.
type VADParams struct {
	Model        string  `json:"model"` // path of a Silero model in whisper.cpp's form
	Threads      int     `json:"threads"`
	Threshold    float32 `json:"threshold"`      // probability from which on a frame is speech
	MinSpeechMS  int     `json:"min_speech_ms"`  // shorter speech is none
	MinSilenceMS int     `json:"min_silence_ms"` // shorter silence does not part speech
	PadMS        int     `json:"pad_ms"`         // added on both sides
}

// Speech is where somebody speaks.
type Speech struct {
	Spans []Span `json:"spans"`
}

// Span is a stretch of time in milliseconds from the first sample.
type Span struct {
	StartMS int64 `json:"start_ms"`
	EndMS   int64 `json:"end_ms"`
}

// LMParams name a language model and how to hold it.
type LMParams struct {
	Model   string  `json:"model"`   // path of a GGUF file
	Adapter string  `json:"adapter"` // path of a GGUF LoRA adapter, or empty
	Scale   float32 `json:"scale"`   // of the adapter; 0 means 1
	Threads int     `json:"threads"`
	GPU     bool    `json:"gpu"`
}

// LMInfo describes a language model.
type LMInfo struct {
	Description  string `json:"description"` // "llama 1B Q8_0"
	Parameters   uint64 `json:"parameters"`
	Context      int    `json:"context"` // tokens that it was trained on at a time
	Vocabulary   int    `json:"vocabulary"`
	Width        int    `json:"width"` // of its embeddings
	Layers       int    `json:"layers"`
	BOS          int32  `json:"bos"` // -1 where there is none
	EOS          int32  `json:"eos"`
	ChatTemplate string `json:"chat_template"` // Jinja; empty where there is none
}

// TokenizeParams ask for a text's tokens.
type TokenizeParams struct {
	LMParams
	Text    string `json:"text"`
	Special bool   `json:"special"` // add the tokens that the model wants at the ends, and read special tokens in the text
}

// Tokens are a text's tokens and the bytes of each.
type Tokens struct {
	IDs    []int32  `json:"ids"`
	Pieces [][]byte `json:"pieces"`
}

// GenerateParams ask for a continuation. The progress of the call notes the text so far.
type GenerateParams struct {
	LMParams
	sampling.Sampling
	Prompt    string   `json:"prompt"` // special tokens in it are read as such
	Tokens    []int32  `json:"tokens"` // instead of Prompt
	MaxTokens int      `json:"max_tokens"`
	Seed      uint64   `json:"seed"`
	Stop      []string `json:"stop"` // ends the text, and is not part of it
	Ends      []int32  `json:"ends"` // tokens that end the text, beside those that the model file names
}

// Generated is a continuation.
type Generated struct {
	Text    string  `json:"text"`
	IDs     []int32 `json:"ids"`
	LogProb float64 `json:"logprob"` // sum over IDs under the model itself, before sampling's temperature and cuts
	Ended   string  `json:"ended"`   // "end of text", "stop", "length"

	DecodeSeconds float64 `json:"decode_seconds"` // of the whole call's time, what llama.cpp itself took
}

// ScoreParams ask how likely a text is.
type ScoreParams struct {
	LMParams
	Text   string  `json:"text"`   // special tokens in it are read as such
	Tokens []int32 `json:"tokens"` // instead of Text
}

// Scores are the natural logarithms of each token's probability given all before it. The first token's is 0: nothing
// precedes it.
type Scores struct {
	IDs      []int32   `json:"ids"`
	LogProbs []float64 `json:"logprobs"`
}

// QuantizeParams ask for a GGUF model (F32 or F16) in another type.
type QuantizeParams struct {
	Model   string `json:"model"` // path
	To      string `json:"to"`    // path of the file to write
	Type    string `json:"type"`  // "Q8_0", "Q4_0", "Q4_K" (mixed, as Q4_K_M), "Q5_K" (as Q5_K_M) or "Q6_K"
	Threads int    `json:"threads"`
}

// MaxEmbedTokens is how many tokens of a text are read for its vector, if the model does not read fewer.
const MaxEmbedTokens = 512

// EmbedParams ask for texts as vectors: what the model makes of a text's tokens, pooled as the model says, or their mean
// where it says nothing.
type EmbedParams struct {
	LMParams
	Texts []string `json:"texts"`
}

// Embedding says how to read the vectors: Count of them, Width numbers each, of length 1; that of an empty text is zero.
type Embedding struct {
	Count int `json:"count"`
	Width int `json:"width"`
}

// Bytes returns x as a payload.
func Bytes(x []float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// Floats reads a payload.
func Floats(b []byte) ([]float32, error) {
	if len(b)%4 != 0 {
		return nil, fmt.Errorf("%d bytes are no whole number of float32", len(b))
	}
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x, nil
}
