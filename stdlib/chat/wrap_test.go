package chat

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHoursThatBeginAnew reads logs of streams of more than a day, whose hours begin anew or go on.
func TestHoursThatBeginAnew(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		stamps []string
		want   []time.Duration
	}{
		{"begin anew", []string{"0:00:05", "23:59:58", "0:00:01", "12:00:00", "23:10:00", "0:30:00"},
			[]time.Duration{5 * time.Second, day - 2*time.Second, day + time.Second, day + 12*time.Hour, day + 23*time.Hour + 10*time.Minute, 2*day + 30*time.Minute}},
		{"go on", []string{"23:59:58", "24:00:01", "47:59:59", "48:00:00"}, []time.Duration{day - 2*time.Second, day + time.Second, 2*day - time.Second, 2 * day}},
		{"out of order", []string{"0:00:05", "12:00:00", "0:00:06", "22:00:00"}, []time.Duration{5 * time.Second, 6 * time.Second, 12 * time.Hour, 22 * time.Hour}},
	} {
		var text, page strings.Builder
		page.WriteString("<!DOCTYPE html><html>")
		for i, stamp := range c.stamps {
			fmt.Fprintf(&text, "[%s] bo: number %d\n", stamp, i)
			fmt.Fprintf(&page, `<pre class="comment-root">[%s] <a href="https://www.twitch.tv/bo"><span class="comment-author">Bo</span></a><span class="comment-message">: number %d</span></pre>`+"\n", stamp, i)
		}
		for form, b := range map[string]string{"text": text.String(), "HTML": page.String()} {
			log, err := Read(t.Context(), strings.NewReader(b), Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got []time.Duration
			for _, m := range log.Messages {
				got = append(got, m.Time)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: %v, want %v", c.name, form, got, c.want)
			}
		}
	}
}
