package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestScoresTheSharedStreams(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "fixtures", "streams")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("the shared streams are not here:", err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-streams", dir}, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var l line
	d := json.NewDecoder(strings.NewReader(lines[len(lines)-1]))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		t.Fatalf("the last line is no scores: %v", err)
	}
	if l.Ours.Precision < 0.87 || l.Ours.Recall < 0.6 || *l.Ours.ECE > 0.05 || *l.Ours.LagErrorP95 > 1 || len(l.Ours.TruePrecision) != 3 {
		t.Errorf("%+v", l.Ours)
	}
	for name, b := range l.Baselines {
		margin := 0.15
		if name == "lag-calibrated tf-idf" {
			margin = 0
		}
		if l.Ours.F1 < b.F1+margin {
			t.Errorf("F1 %.3f, %s has %.3f", l.Ours.F1, name, b.F1)
		}
	}
	if len(l.Baselines) != 4 {
		t.Errorf("%d baselines", len(l.Baselines))
	}
}

func TestRefusesFoldersWithoutTruth(t *testing.T) {
	if err := run(t.Context(), []string{"-streams", t.TempDir()}, &bytes.Buffer{}); err == nil {
		t.Error("an empty folder is scored")
	}
}

func TestTable(t *testing.T) {
	if testing.Short() {
		t.Skip("makes and aligns some dozen streams")
	}
	var out bytes.Buffer
	dir := t.TempDir()
	if err := run(t.Context(), []string{"-seeds", "1", "-minutes", "2", "-plots", dir}, &out); err != nil {
		t.Fatal(err)
	}
	for _, g := range regimes(2) {
		if strings.Count(out.String(), "| "+g.name+" |") != 2 {
			t.Errorf("%s has no line in both tables", g.name)
		}
	}
	if drawn, err := filepath.Glob(filepath.Join(dir, "*.svg")); err != nil || len(drawn) != 2*len(sweeps) {
		t.Errorf("drawn: %v, %v", drawn, err)
	}
}
