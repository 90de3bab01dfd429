package quality

import (
	"fmt"
	"slices"
	"strings"

	"banter/stdlib/align"
)

// ReviewRow is one borderline pair for a person to judge.
type ReviewRow struct {
	ID            string  `json:"id"` // stream, message and first word: names the pair
	Stream        string  `json:"stream"`
	MessageID     string  `json:"message_id"`
	SpeechStartMS int64   `json:"speech_start_ms"`
	SpeechEndMS   int64   `json:"speech_end_ms"`
	MessageTimeMS int64   `json:"message_time_ms"`
	DelayMS       int64   `json:"delay_ms"`
	Speech        string  `json:"speech"`
	Response      string  `json:"response"`
	Confidence    float64 `json:"confidence"`
	FDR           float64 `json:"fdr"`
	delta         float64 // distance from the band's middle
}

// Review is the queue of the pairs with a confidence in [lo, hi]: those nearest the band's middle first, then by id.
func Review(pairs []align.Pair, lo, hi float64) ([]ReviewRow, error) {
	if !(lo >= 0 && lo <= hi && hi <= 1) {
		return nil, fmt.Errorf("review: the band from %v to %v does not lie in 0..1", lo, hi)
	}
	rows := []ReviewRow{}
	for i := range pairs {
		p := &pairs[i]
		if !(p.Confidence >= lo && p.Confidence <= hi) {
			continue
		}
		rows = append(rows, ReviewRow{
			ID:     fmt.Sprintf("%s/%s/%d", p.Stream, p.MessageID, p.FirstWord),
			Stream: p.Stream, MessageID: p.MessageID,
			SpeechStartMS: p.SpeechStart.Milliseconds(), SpeechEndMS: p.SpeechEnd.Milliseconds(),
			MessageTimeMS: p.MessageTime.Milliseconds(), DelayMS: p.Delay.Milliseconds(),
			Speech: p.Speech, Response: p.Response, Confidence: p.Confidence, FDR: p.FDR,
			delta: max(p.Confidence-(lo+hi)/2, (lo+hi)/2-p.Confidence),
		})
	}
	slices.SortFunc(rows, func(a, b ReviewRow) int {
		if a.delta != b.delta {
			if a.delta < b.delta {
				return -1
			}
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	return rows, nil
}
