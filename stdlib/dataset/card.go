package dataset

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"banter/internal/markdown"
)

// Card is what a dataset card says besides what the rows say.
type Card struct {
	Name    string
	Made    *Made  // what became of the pairs; may be nil
	Leaks   *Leaks // what a leak check found; may be nil
	License string // an identifier; empty means that it is still to be chosen
	Note    string // a paragraph of the author's own; may be empty
}

// Write writes the card of rows in Markdown, with the front matter that dataset hubs read. Text from streams is escaped.
func (c Card) Write(w io.Writer, rows []Row) error {
	b := bufio.NewWriter(w)
	type counts struct{ train, holdout, words, emotes int }
	var all counts
	byStream := map[string]*counts{}
	filters, lineage, directions := map[string]bool{}, map[string]bool{}, map[string]int{}
	var filterOrder, lineageOrder []string
	for i := range rows {
		r := &rows[i]
		s := byStream[r.Stream]
		if s == nil {
			s = &counts{}
			byStream[r.Stream] = s
		}
		for _, n := range []*counts{s, &all} {
			if r.Split == Holdout {
				n.holdout++
			} else {
				n.train++
			}
			n.words += len(strings.Fields(r.Completion()))
			n.emotes += int(r.Emotes)
		}
		directions[r.Direction]++
		for _, f := range r.Filters {
			if !filters[f] {
				filters[f] = true
				filterOrder = append(filterOrder, f)
			}
		}
		for _, k := range r.Lineage {
			if !lineage[k] {
				lineage[k] = true
				lineageOrder = append(lineageOrder, k)
			}
		}
	}
	license := c.License
	if license == "" {
		license = "other"
	}
	name := c.Name
	if name == "" {
		name = "Untitled dataset"
	}
	fmt.Fprintf(b, "---\nlicense: %s\ntask_categories:\n- text-generation\nsize_categories:\n- %s\n---\n\n", yamlWord(license), sizeCategory(len(rows)))
	fmt.Fprintf(b, "# %s\n\n", markdown.Text(name))
	fmt.Fprintf(b, "Pairs of what was said in streams and what the chat answered, made with Banter. Each row of the Parquet file says which recording, words and message it comes from.\n\n")
	if c.Note != "" {
		fmt.Fprintf(b, "%s\n\n", markdown.Text(c.Note))
	}
	fmt.Fprintf(b, "## Rows\n\n| | train | holdout | words a completion |\n|---|---:|---:|---:|\n")
	streams := make([]string, 0, len(byStream))
	for s := range byStream {
		streams = append(streams, s)
	}
	slices.Sort(streams)
	mean := func(n *counts) float64 { return float64(n.words) / float64(max(1, n.train+n.holdout)) }
	for _, s := range streams {
		n := byStream[s]
		fmt.Fprintf(b, "| %s | %d | %d | %.1f |\n", markdown.Text(s), n.train, n.holdout, mean(n))
	}
	fmt.Fprintf(b, "| **all** | %d | %d | %.1f |\n\n", all.train, all.holdout, mean(&all))
	for _, d := range []string{SpeechToChat, ChatToSpeech} {
		if directions[d] > 0 {
			fmt.Fprintf(b, "- direction `%s`: %d rows\n", d, directions[d])
		}
	}
	if c.Made != nil && c.Made.Guard > 0 {
		fmt.Fprintf(b, "- %d of %d pairs were left out because their speech lies at the edge of a held-out block of time\n", c.Made.Guard, c.Made.Pairs)
	}
	if c.Leaks != nil {
		fmt.Fprintf(b, "- of %d holdout rows, %d have the prompt and completion of a training row, %d a long completion like one, %d a prompt like one; %d training rows were left out for that\n",
			c.Leaks.Holdout, c.Leaks.Both, c.Leaks.Completions, c.Leaks.Prompts, c.Leaks.Dropped)
	}
	fmt.Fprintf(b, "\nThe holdout is drawn from the stream id and the time of the speech alone: more data never moves a row across.\n")
	list := func(title, none string, items []string) {
		fmt.Fprintf(b, "\n## %s\n\n", title)
		if len(items) == 0 {
			fmt.Fprintf(b, "%s\n", none)
		}
		for _, v := range items {
			fmt.Fprintf(b, "- %s\n", markdown.Code(v))
		}
	}
	list("Filters", "None.", filterOrder)
	list("Lineage", "None.", lineageOrder)
	fmt.Fprintf(b, "\n## Licence and consent\n\n")
	if c.License == "" {
		fmt.Fprintf(b, "No licence has been chosen yet. Before this dataset is shared, choose one and make sure of the right to share the streams and the chat: the words are those of people who did not write them for this use. ")
	} else {
		fmt.Fprintf(b, "Licence: %s. ", markdown.Text(c.License))
	}
	fmt.Fprintf(b, "Authors stand in the rows as salted digests, without names.\n")
	return b.Flush()
}

// sizeCategory is the name that dataset hubs have for a number of rows.
func sizeCategory(n int) string {
	switch {
	case n < 1e3:
		return "n<1K"
	case n < 1e4:
		return "1K<n<10K"
	case n < 1e5:
		return "10K<n<100K"
	case n < 1e6:
		return "100K<n<1M"
	}
	return "n>1M"
}

// yamlWord quotes s unless it is a plain word.
func yamlWord(s string) string {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return fmt.Sprintf("%q", s)
		}
	}
	return s
}
