package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"banter/stdlib/quality"
)

// Trait is a property of a row by which a sample is balanced.
type Trait int

const (
	Stream       Trait = iota // the stream
	SpeechLength              // words of speech: up to 4, 9, 19, 39, more
	Length                    // words of response: 1, 2, up to 4, 8, 16, more
	EmoteDensity              // share of emotes among the response's words: none, up to a half, more
	Novelty                   // how often the response's normal form stands among the rows: once, up to 4 times, more
)

// Balance says how to sample.
type Balance struct {
	Rows   int     // how many training rows to keep
	By     []Trait // rows alike in all of these form one group; none means one group
	Seed   uint64
	Emotes []string // codes of emotes, for the normal forms of Novelty
}

// Group is one group of a balanced sample.
type Group struct {
	Name string `json:"name"` // the traits' values, such as "s1 · 3-4 words"
	Have int    `json:"have"`
	Take int    `json:"take"`
}

// Sample keeps at most b.Rows training rows, as many from each group as can be, and all of the holdout, which must show
// what there is. Which rows a group gives depends on their ids and the seed alone. Rows keep their order; groups come
// back sorted by name.
func (b Balance) Sample(rows []Row) ([]Row, []Group, error) {
	if b.Rows < 1 {
		return nil, nil, errors.New("balance: say how many rows to keep, 1 or more")
	}
	count := map[string]int{}
	var keys []string
	if slices.Contains(b.By, Novelty) {
		emotes := map[string]bool{}
		for _, e := range b.Emotes {
			emotes[e] = true
		}
		keys = make([]string, len(rows))
		for i := range rows {
			keys[i] = quality.Key(rows[i].Response, emotes)
			count[keys[i]]++
		}
	}
	members := map[string][]int{}
	for i := range rows {
		if rows[i].Split == Holdout {
			continue
		}
		repeats := 0
		if keys != nil {
			repeats = count[keys[i]]
		}
		name, err := b.group(&rows[i], repeats)
		if err != nil {
			return nil, nil, err
		}
		members[name] = append(members[name], i)
	}
	groups := make([]Group, 0, len(members))
	for name, list := range members {
		groups = append(groups, Group{Name: name, Have: len(list)})
	}
	slices.SortFunc(groups, func(a, b Group) int { return strings.Compare(a.Name, b.Name) })
	b.share(groups)
	keep := make([]bool, len(rows))
	for _, g := range groups {
		list := members[g.Name]
		slices.SortFunc(list, func(x, y int) int {
			a, c := b.draw(rows[x].ID), b.draw(rows[y].ID)
			if a != c {
				if a < c {
					return -1
				}
				return 1
			}
			return strings.Compare(rows[x].ID, rows[y].ID)
		})
		for _, i := range list[:g.Take] {
			keep[i] = true
		}
	}
	out := []Row{}
	for i := range rows {
		if keep[i] || rows[i].Split == Holdout {
			out = append(out, rows[i])
		}
	}
	return out, groups, nil
}

// share gives every group the same, but none more than it has; what small groups leave goes to the others.
func (b Balance) share(groups []Group) {
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	// Smallest first; among equals by a draw, so that the odd rows do not always go to the last name.
	slices.SortFunc(order, func(x, y int) int {
		if groups[x].Have != groups[y].Have {
			return groups[x].Have - groups[y].Have
		}
		a, c := b.draw(groups[x].Name), b.draw(groups[y].Name)
		switch {
		case a < c:
			return -1
		case a > c:
			return 1
		}
		return x - y
	})
	left := b.Rows
	for n, i := range order {
		groups[i].Take = min(groups[i].Have, left/(len(order)-n))
		left -= groups[i].Take
	}
}

func (b Balance) draw(name string) uint64 {
	sum := sha256.Sum256(append(binary.LittleEndian.AppendUint64([]byte("banter balance 1"), b.Seed), name...))
	return binary.LittleEndian.Uint64(sum[:])
}

// group names the group of a row.
func (b Balance) group(r *Row, repeats int) (string, error) {
	var parts []string
	for _, t := range b.By {
		switch t {
		case Stream:
			parts = append(parts, r.Stream)
		case SpeechLength:
			parts = append(parts, step(len(strings.Fields(r.Speech)), "words of speech", 4, 9, 19, 39))
		case Length:
			parts = append(parts, step(len(strings.Fields(r.Response)), "words", 1, 2, 4, 8, 16))
		case EmoteDensity:
			words := max(1, len(strings.Fields(r.Response)))
			switch {
			case r.Emotes == 0:
				parts = append(parts, "no emotes")
			case 2*int(r.Emotes) <= words:
				parts = append(parts, "some emotes")
			default:
				parts = append(parts, "mostly emotes")
			}
		case Novelty:
			parts = append(parts, "said "+step(repeats, "times", 1, 4))
		default:
			return "", fmt.Errorf("balance: there is no trait %d", t)
		}
	}
	if len(parts) == 0 {
		return "all", nil
	}
	return strings.Join(parts, " · "), nil
}

// step names the range among the given upper ends in which n lies.
func step(n int, unit string, ends ...int) string {
	from := 0
	for _, end := range ends {
		if n <= end {
			if from+1 >= end {
				return fmt.Sprintf("%d %s", end, unit)
			}
			return fmt.Sprintf("%d-%d %s", from+1, end, unit)
		}
		from = end
	}
	return fmt.Sprintf("%d or more %s", from+1, unit)
}
