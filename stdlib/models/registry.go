package models

import (
	"slices"
	"strings"
)

// Entry is what the registry knows of a model.
type Entry struct {
	Name    string
	Kind    Kind
	Aliases []string
	Licence string // SPDX
	About   string // one line for people
	Files   []File // one for a model that is a file; more for one that is a folder
	Folder  bool
	Shipped string // path below a folder of shipped models, for a model that comes with Banter; it is never fetched
	Quirks  Quirks
}

// File is one file of a model.
type File struct {
	Name   string // below the models folder, or below the model's own
	URL    string
	Size   int64  // bytes; 0 where not known
	SHA256 string // lower case; empty where not known: the first fetch records it and later ones must agree
}

// Size is that of all files in bytes, 0 where one is not known.
func (e *Entry) Size() int64 {
	var sum int64
	for _, f := range e.Files {
		if f.Size == 0 {
			return 0
		}
		sum += f.Size
	}
	return sum
}

// Verified reports whether the digests of all files are known before they are fetched.
func (e *Entry) Verified() bool {
	return !slices.ContainsFunc(e.Files, func(f File) bool { return f.SHA256 == "" })
}

// Where whisper.cpp's authors publish. The revisions are fixed, so that a name means the same bytes for good.
const (
	whisperFiles = "https://huggingface.co/ggerganov/whisper.cpp/resolve/5359861c739e955e79d9a303bcbc70fb988958b1/"
	vadFiles     = "https://huggingface.co/ggml-org/whisper-vad/resolve/9ffd54a1e1ee413ddf265af9913beaf518d1639b/"
)

func whisper(name, preset string, size int64, sha256, about string) Entry {
	e := Entry{
		Name: name, Kind: ASR, Licence: "MIT", About: about,
		Files:  []File{{Name: "ggml-" + name + ".bin", URL: whisperFiles + "ggml-" + name + ".bin", Size: size, SHA256: sha256}},
		Quirks: Quirks{DTWPreset: preset},
	}
	if strings.HasSuffix(name, ".en") {
		e.Quirks.Language = "en"
	}
	return e
}

// huggingFace is a folder of a model whose weights are one safetensors file. Its digests are not known here.
func huggingFace(name, repo, about string) Entry {
	e := Entry{Name: name, Kind: LM, Licence: "Apache-2.0", About: about, Folder: true}
	for _, f := range []string{"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"} {
		e.Files = append(e.Files, File{Name: f, URL: "https://huggingface.co/" + repo + "/resolve/main/" + f})
	}
	return e
}

// registry is in the order in which it is listed: what ships, then by kind and size.
var registry = []Entry{
	{
		Name: "asr-micro", Kind: ASR, Licence: "as Banter", Shipped: "asr-micro-q8_0.bin",
		About: "152 English words in 13 synthetic voices: for the demo and the tests alone",
		Files: []File{{Name: "asr-micro-q8_0.bin", Size: 10313616, SHA256: "3915a3410cf61a8b3ae5ff2c28c3590ab14ddc4aa0d3ce08ae6eb8505eaaa090"}},
		Quirks: Quirks{
			DTWHeads: []Head{{Layer: 0, Head: 0}}, NoTextContext: true, Language: "en",
		},
	},
	{
		Name: "lm-micro", Kind: LM, Licence: "as Banter", Shipped: "lm-micro", Folder: true,
		About: "1.3 million parameters that know a few hundred sentences: for the demo and the tests alone",
		Files: []File{
			{Name: "config.json", Size: 484, SHA256: "2657ea577bc73d9e872d867663ff234aabe650b4cf2ae94e8a1c789c33ca8b9e"},
			{Name: "generation_config.json", Size: 42, SHA256: "57877a2250b531fe8055ff16f851fcf4abc82d97eaa42a780537405dba5375c6"},
			{Name: "tokenizer.json", Size: 32447, SHA256: "0fa33b13801f34812d294f8128a9588005bd5e1a7978dbf557cd13b956139f7a"},
			{Name: "tokenizer_config.json", Size: 410, SHA256: "611374d4614df97bb1b1684549cce0d850b80bb9b12023a8481aa0b8c11817a1"},
			{Name: "model.safetensors", Size: 2629736, SHA256: "32d05147037257e7d7849a43fe92960f20f4a127b917572b39887d527aad5deb"},
		},
	},

	whisper("tiny.en", "tiny.en", 77704715, "921e4cf8686fdd993dcd081a5da5b6c365bfde1162e72b08d75ac75289920b1f", "Whisper, English, 39 million parameters: quick and rough"),
	whisper("tiny", "tiny", 77691713, "be07e048e1e599ad46341c8d2a135645097a538221678b7acdd1b1919c6e1b21", "Whisper, 99 languages, 39 million parameters"),
	whisper("base.en", "base.en", 147964211, "a03779c86df3323075f5e796cb2ce5029f00ec8869eee3fdfb897afe36c6d002", "Whisper, English, 74 million parameters"),
	whisper("base", "base", 147951465, "60ed5bc3dd14eea856493d334349b405782ddcaf0028d4b5df4088345fba2efe", "Whisper, 99 languages, 74 million parameters"),
	whisper("small.en", "small.en", 487614201, "c6138d6d58ecc8322097e0f987c32f1be8bb0a18532a3f88f734d1bbf9c41e5d", "Whisper, English, 244 million parameters: a good middle"),
	whisper("small", "small", 487601967, "1be3a9b2063867b937e64e2ec7483364a79917e157fa98c5d94b5c1fffea987b", "Whisper, 99 languages, 244 million parameters"),
	whisper("medium.en", "medium.en", 1533774781, "cc37e93478338ec7700281a7ac30a10128929eb8f427dda2e865faa8f6da4356", "Whisper, English, 769 million parameters"),
	whisper("medium", "medium", 1533763059, "6c14d5adee5f86394037b4e4e8b59f1673b6cee10e3cf0b11bbdbee79c156208", "Whisper, 99 languages, 769 million parameters"),
	whisper("large-v3-turbo", "large.v3.turbo", 1624555275, "1fc70f774d38eb169993ac391eea357ef47c88757ef72ee5943879b7e8e2bc69", "Whisper, 99 languages, 809 million parameters: nearly the best at a fraction of the time"),
	whisper("large-v3", "large.v3", 3095033483, "64d182b440b98d5203c4f9bd541544d84c605196c4f7b845dfa11fb23594d1e2", "Whisper, 99 languages, 1550 million parameters: the best, and slow without a GPU"),

	{
		Name: "silero-v6.2.0", Kind: VAD, Aliases: []string{"silero"}, Licence: "MIT", About: "Silero voice activity detection: where somebody speaks",
		Files: []File{{Name: "ggml-silero-v6.2.0.bin", URL: vadFiles + "ggml-silero-v6.2.0.bin", Size: 885098, SHA256: "2aa269b785eeb53a82983a20501ddf7c1d9c48e33ab63a41391ac6c9f7fb6987"}},
	},

	huggingFace("smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct", "SmolLM2, English chat, 135 million parameters: trains on a laptop"),
	huggingFace("smollm2-135m", "HuggingFaceTB/SmolLM2-135M", "SmolLM2, English text, 135 million parameters, no chat template of its own"),
	huggingFace("smollm2-360m-instruct", "HuggingFaceTB/SmolLM2-360M-Instruct", "SmolLM2, English chat, 360 million parameters"),
	huggingFace("smollm2-360m", "HuggingFaceTB/SmolLM2-360M", "SmolLM2, English text, 360 million parameters, no chat template of its own"),
	huggingFace("qwen2.5-0.5b-instruct", "Qwen/Qwen2.5-0.5B-Instruct", "Qwen 2.5, many languages, chat, 494 million parameters"),
	huggingFace("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B", "Qwen 2.5, many languages, 494 million parameters"),
}

// List returns the registry's entries: what ships with Banter first, then by kind and size.
func List() []Entry { return slices.Clone(registry) }

// Lookup returns the entry of a name or an alias, whatever its case.
func Lookup(name string) (Entry, bool) {
	name = strings.ToLower(name)
	for _, e := range registry {
		if e.Name == name || slices.Contains(e.Aliases, name) {
			return e, true
		}
	}
	return Entry{}, false
}
