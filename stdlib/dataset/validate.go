package dataset

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxText bounds each text of a row, in bytes.
const maxText = 1 << 20

// earlyMS is by how much an answer may seem to come before what it answers: an estimated lag is uncertain by seconds, and
// Align lets a reaction come before the end of what it answers, which may be one short word.
const earlyMS = 10_000

// maxErrors is how many faulty rows an error lists.
const maxErrors = 10

// Validate checks that every row is complete, that its times are in order, that it says where it came from, and that no
// row is there twice. The error lists the first faulty rows by number, counted from 1.
func Validate(rows []Row) error {
	var faults []error
	more := 0
	seen := make(map[string]int, len(rows))
	for i := range rows {
		err := rows[i].fault()
		if err == nil {
			if before, twice := seen[rows[i].ID]; twice {
				err = fmt.Errorf("its id %s is that of row %d, too", rows[i].ID, before+1)
			}
			seen[rows[i].ID] = i
		}
		if err != nil {
			if len(faults) == maxErrors {
				more++
				continue
			}
			faults = append(faults, fmt.Errorf("row %d: %w", i+1, err))
		}
	}
	if more > 0 {
		faults = append(faults, fmt.Errorf("and %d rows more", more))
	}
	return errors.Join(faults...)
}

// fault is the first thing that is wrong with a row.
func (r *Row) fault() error {
	for _, f := range []struct{ name, text string }{
		{"stream id", r.Stream}, {"speech", r.Speech}, {"response", r.Response}, {"author hash", r.AuthorHash}, {"message id", r.MessageID},
	} {
		switch {
		case strings.TrimSpace(f.text) == "":
			return fmt.Errorf("its %s is empty", f.name)
		case !utf8.ValidString(f.text):
			return fmt.Errorf("its %s is not UTF-8", f.name)
		case len(f.text) > maxText:
			return fmt.Errorf("its %s is longer than %d bytes", f.name, maxText)
		}
	}
	switch {
	case r.Direction != SpeechToChat && r.Direction != ChatToSpeech:
		return fmt.Errorf("its direction %q is neither %s nor %s", r.Direction, SpeechToChat, ChatToSpeech)
	case r.Split != Train && r.Split != Holdout:
		return fmt.Errorf("its split %q is neither %s nor %s", r.Split, Train, Holdout)
	case r.ID != RowID(r.Stream, r.MessageID, r.FirstWord, r.LastWord, r.Direction):
		return fmt.Errorf("its id %q is not the digest of its stream, message, words and direction", r.ID)
	case r.SpeechStartMS < 0 || r.SpeechEndMS < r.SpeechStartMS:
		return fmt.Errorf("its speech lasts from %d to %d ms", r.SpeechStartMS, r.SpeechEndMS)
	case r.FirstWord < 0 || r.LastWord <= r.FirstWord:
		return fmt.Errorf("its words are %d to %d", r.FirstWord, r.LastWord)
	case r.Direction == SpeechToChat && r.MessageTimeMS-r.LagMS < r.SpeechStartMS-earlyMS:
		return fmt.Errorf("its message, at %d ms with the lag of %d ms taken off, comes before the speech that it answers, at %d ms", r.MessageTimeMS, r.LagMS, r.SpeechStartMS)
	case r.Direction == ChatToSpeech && r.MessageTimeMS-r.LagMS > r.SpeechEndMS+earlyMS:
		return fmt.Errorf("its message, at %d ms with the lag of %d ms taken off, comes after the speech that answers it, which ends at %d ms", r.MessageTimeMS, r.LagMS, r.SpeechEndMS)
	case !(r.Confidence >= 0 && r.Confidence <= 1):
		return fmt.Errorf("its confidence %v is not in 0..1", r.Confidence)
	case !(r.FDR >= 0 && r.FDR <= 1):
		return fmt.Errorf("its false discovery rate %v is not in 0..1", r.FDR)
	case r.Emotes < 0:
		return fmt.Errorf("it has %d emotes", r.Emotes)
	case len(r.Lineage) == 0:
		return errors.New("it does not say which steps made it")
	}
	if sum, err := hex.DecodeString(r.RecordingSHA256); err != nil || len(sum) != 32 || strings.ToLower(r.RecordingSHA256) != r.RecordingSHA256 {
		return fmt.Errorf("its recording's SHA-256 %q is not 64 hexadecimal digits in lower case", r.RecordingSHA256)
	}
	for _, list := range [][]string{r.Filters, r.Lineage} {
		for _, v := range list {
			if v == "" || !utf8.ValidString(v) || len(v) > maxText {
				return errors.New("one of its filters or steps is empty or not UTF-8")
			}
		}
	}
	return nil
}
