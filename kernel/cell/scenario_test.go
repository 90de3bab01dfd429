package cell

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// scenario is a sequence of cells and what the last one comes to: printed text or the value as fmt prints it. "ERR"
// wants a refusal or a panic, "" wants anything but a crash.
type scenario struct {
	Name  string   `json:"name"`
	Cells []string `json:"cells"`
	Want  string   `json:"want"`
}

// play runs cells in a fresh evaluator and returns what they printed and the last value.
func play(t testing.TB, cells []string) (printed, value string, err error) {
	t.Helper()
	var out bytes.Buffer
	e, err := New(Options{Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i, src := range cells {
		r, err := e.Run(ctx, fmt.Sprintf("cell %d", i+1), src)
		if err != nil {
			return out.String(), "", err
		}
		value = show(r)
	}
	return out.String(), value, nil
}

// show is a cell's value as a program would print it.
func show(r Result) string {
	switch {
	case !r.HasValue:
		return ""
	case r.Text != "":
		return r.Text
	}
	return fmt.Sprint(r.Value.Interface())
}

func refused(err error) bool {
	var e *Error
	return errors.As(err, &e) && strings.Contains(err.Error(), "banter cannot run")
}

func TestScenarios(t *testing.T) {
	data, err := os.ReadFile("testdata/scenarios.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []scenario
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	right := 0
	for _, s := range list {
		t.Run(s.Name, func(t *testing.T) {
			printed, value, err := play(t, s.Cells)
			got := strings.TrimSpace(value)
			if got == "" {
				got = strings.TrimSpace(printed)
			}
			switch {
			case s.Want == "ERR":
				if err == nil {
					t.Errorf("want an error, got %q", got)
				}
			case refused(err):
				t.Logf("refused: %v", err)
			case s.Want == "":
			case err != nil:
				t.Errorf("want %q, got %v", s.Want, err)
			case got != s.Want && strings.TrimSpace(printed) != s.Want:
				t.Errorf("want %q, got %q (printed %q)", s.Want, got, printed)
			}
			if (err == nil) != (s.Want == "ERR") {
				right++
			}
		})
	}
	t.Logf("%d of %d run", right, len(list))
}
