package recipe

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden recipes of testdata/freeze anew")

// cellsOf reads a notebook as the tests write it: "%% md", "%% 3" (code that was the third to run) or "%%" (code that
// was not run), each followed by the cell's text. Behind the run stand the pictures of Explore below the cell, or "a=0.5" for
// what the cell took from picture a.
func cellsOf(t *testing.T, text string) *Notebook {
	t.Helper()
	nb := &Notebook{}
	for _, part := range strings.Split("\n"+text, "\n%%")[1:] {
		head, src, _ := strings.Cut(part, "\n")
		c := Cell{Kind: Code, Source: strings.TrimRight(src, "\n")}
		head, picture, _ := strings.Cut(strings.TrimSpace(head), " ")
		if explore, at, chosen := strings.Cut(picture, "="); chosen {
			for _, at := range strings.Split(at, ",") {
				x, err := strconv.ParseFloat(at, 64)
				if err != nil {
					t.Fatal(err)
				}
				c.Chosen = append(c.Chosen, Choice{explore, x})
			}
		} else if explore != "" {
			c.Explores = strings.Split(explore, ",")
		}
		switch head {
		case "md":
			c.Kind = Markdown
		case "":
		default:
			n, err := strconv.Atoi(head)
			if err != nil {
				t.Fatal(err)
			}
			c.Run = n
		}
		nb.Cells = append(nb.Cells, c)
	}
	return nb
}

// TestFreeze holds each notebook of testdata/freeze against the recipe, or the refusal, that stands below it; and freezes
// the notebook that the recipe thaws to again, which must give the same recipe.
func TestFreeze(t *testing.T) {
	files, err := filepath.Glob("testdata/freeze/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var in, want string
			for _, f := range ar.Files {
				if f.Name == "notebook" {
					in = string(f.Data)
				} else {
					want = string(f.Data)
				}
			}
			name := "recipe.go"
			var got string
			o := FreezeOptions{Folder: "/project/notebooks", Root: "/project"}
			frozen, err := Freeze(cellsOf(t, in), o)
			if err != nil {
				name, got = "refusal", strings.TrimPrefix(err.Error(), "freeze: ")+"\n"
			} else {
				got = string(frozen.Source)
				for _, l := range frozen.Left {
					got += "// left out: " + l + "\n"
				}
				for _, n := range frozen.Notes {
					got += "// note: " + n + "\n"
				}
			}
			if *update {
				ar.Files = []txtar.File{{Name: "notebook", Data: []byte(in)}, {Name: name, Data: []byte(got)}}
				if err := os.WriteFile(file, txtar.Format(ar), 0o666); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if frozen != nil {
				again(t, frozen.Source, o)
			}
		})
	}
}

// again thaws a recipe and freezes what it becomes.
func again(t *testing.T, src []byte, o FreezeOptions) {
	t.Helper()
	nb, err := thaw("recipe.go", src, ThawOptions(o))
	if err != nil {
		t.Fatalf("thaw: %v", err)
	}
	second, err := Freeze(nb, o)
	if err != nil {
		t.Fatalf("freeze what was thawed: %v\n%s", err, shownCells(nb))
	}
	if !bytes.Equal(second.Source, src) {
		t.Errorf("frozen, thawed and frozen again:\n%s\nwas\n%s\nby\n%s", second.Source, src, shownCells(nb))
	}
}

func shownCells(nb *Notebook) string {
	var b strings.Builder
	for _, c := range nb.Cells {
		fmt.Fprintf(&b, "%%%% %s\n%s\n", c.Kind, c.Source)
	}
	return b.String()
}

// TestShippedRecipeRoundTrip thaws a recipe that people wrote: what it freezes to must be stable from then on.
func TestShippedRecipeRoundTrip(t *testing.T) {
	nb, err := Thaw("../../recipes/v1.go", ThawOptions{})
	if err != nil {
		t.Fatal(err)
	}
	frozen, err := Freeze(nb, FreezeOptions{})
	if err != nil {
		t.Fatalf("%v\n%s", err, shownCells(nb))
	}
	again(t, frozen.Source, FreezeOptions{})
}
