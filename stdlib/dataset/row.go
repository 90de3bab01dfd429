// Package dataset holds the canonical training rows: pairs of speech and response with their split and with all that is
// needed to find where they came from. It makes rows out of pairs, checks them, stores them as Parquet, samples them
// evenly, and exports them in the forms that trainers read.
package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// Row is one training example. Times are stream time in milliseconds. The order of the fields is the order of the
// Parquet columns.
type Row struct {
	ID              string   `parquet:"id"`                    // digest of stream, message, words and direction: see [RowID]
	Stream          string   `parquet:"stream_id,dict"`        // stream id
	RecordingSHA256 string   `parquet:"recording_sha256,dict"` // of the recording file, 64 hexadecimal digits
	Direction       string   `parquet:"direction,dict"`        // SpeechToChat or ChatToSpeech
	Split           string   `parquet:"split,dict"`            // Train or Holdout
	Speech          string   `parquet:"speech"`                // the words of the window
	SpeechStartMS   int64    `parquet:"speech_start_ms"`       // start of the window
	SpeechEndMS     int64    `parquet:"speech_end_ms"`         // end of the window
	FirstWord       int64    `parquet:"first_word"`            // words [FirstWord, LastWord) of the stream's transcript
	LastWord        int64    `parquet:"last_word"`
	Response        string   `parquet:"response"`        // the chat message
	AuthorHash      string   `parquet:"author_hash"`     // salted digest of the author
	MessageID       string   `parquet:"message_id"`      // id in the chat log
	MessageTimeMS   int64    `parquet:"message_time_ms"` // as logged, on the chat's clock
	LagMS           int64    `parquet:"lag_ms"`          // chat clock minus speech clock
	DelayMS         int64    `parquet:"delay_ms"`        // how long the writer took
	Emotes          int64    `parquet:"emotes"`          // emotes in the response
	Confidence      float64  `parquet:"confidence"`      // 0..1
	FDR             float64  `parquet:"fdr"`             // 0..1
	Filters         []string `parquet:"filters,list"`    // canonical forms of the rules that the row passed, in order
	Lineage         []string `parquet:"lineage,list"`    // keys of the steps that made the row, first step first
}

// What Row.Direction may be.
const (
	SpeechToChat = "speech_to_chat" // the chat answers the speech
	ChatToSpeech = "chat_to_speech" // the speech answers the chat
)

// What Row.Split may be.
const (
	Train   = "train"
	Holdout = "holdout"
)

// Prompt is what is said first, by the row's direction.
func (r *Row) Prompt() string {
	if r.Direction == ChatToSpeech {
		return r.Response
	}
	return r.Speech
}

// Completion is what answers it: what a model learns to say.
func (r *Row) Completion() string {
	if r.Direction == ChatToSpeech {
		return r.Speech
	}
	return r.Response
}

// RowID is the digest that names a row: 32 hexadecimal digits. Texts, scores and splits are not part of it, so a row
// keeps its name when a model or a mask changes what stands in it.
func RowID(stream, message string, firstWord, lastWord int64, direction string) string {
	h := sha256.New()
	for _, s := range []string{"banter row 1", stream, message, direction} {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	var words [16]byte
	binary.LittleEndian.PutUint64(words[:], uint64(firstWord))
	binary.LittleEndian.PutUint64(words[8:], uint64(lastWord))
	h.Write(words[:])
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Sort puts rows in their canonical order: by stream, time of the message, and id.
func Sort(rows []Row) {
	slices.SortFunc(rows, compare)
}

func compare(a, b Row) int {
	if c := strings.Compare(a.Stream, b.Stream); c != 0 {
		return c
	}
	if a.MessageTimeMS != b.MessageTimeMS {
		if a.MessageTimeMS < b.MessageTimeMS {
			return -1
		}
		return 1
	}
	return strings.Compare(a.ID, b.ID)
}
