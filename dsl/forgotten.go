package dsl

import (
	"encoding/json"
	"slices"

	"banter/dsl/memo"
	"banter/stdlib/align"
	"banter/stdlib/chat"
)

// forgotten is what Load leaves out, because the store has tombstones of it: see `recipe forget`.
type forgotten struct {
	authors []memo.Tombstone
	streams []string
}

func (s *Session) forgotten() (forgotten, error) {
	list, err := s.store.Tombstones()
	var f forgotten
	for _, t := range list {
		if t.Author != "" {
			f.authors = append(f.authors, t)
		} else {
			f.streams = append(f.streams, t.Stream)
		}
	}
	return f, err
}

// identify adds the forgotten authors to a step that reads chat. It is made again for each stream where one is added;
// where they never wrote it gives the same bytes, and what follows is kept.
func (f forgotten) identify(step memo.Step) memo.Step {
	if len(f.authors) > 0 {
		step = step.With("forgotten", f.authors)
	}
	return step
}

// messages splits a chat into what stays and the ids of what goes.
func (f forgotten) messages(all []chat.Message) (stay []chat.Message, gone map[string]bool) {
	if len(f.authors) == 0 {
		return all, nil
	}
	gone = map[string]bool{}
	hashes := map[string]bool{} // by author: whether to be left out
	for i := range all {
		who := all[i].Author.ID + "\x00" + all[i].Author.Name
		out, known := hashes[who]
		if !known {
			out = slices.ContainsFunc(f.authors, func(t memo.Tombstone) bool { return align.AuthorHash(t.Salt, &all[i].Author) == t.Author })
			hashes[who] = out
		}
		if out {
			gone[all[i].ID] = true
		} else {
			stay = append(stay, all[i])
		}
	}
	for i := range stay {
		if gone[stay[i].ReplyTo] {
			stay[i].ReplyTo = "forgotten" // it still is an answer
		}
	}
	return stay, gone
}

// labels takes messages that are gone out of a stream's ground truth. Labels that name none of them stay as they are.
func (forgotten) labels(truth []byte, gone map[string]bool) ([]byte, error) {
	var members map[string]json.RawMessage
	var messages []json.RawMessage
	if err := json.Unmarshal(truth, &members); err != nil {
		return nil, err
	}
	if members["messages"] == nil {
		return truth, nil
	}
	if err := json.Unmarshal(members["messages"], &messages); err != nil {
		return nil, err
	}
	n := len(messages)
	messages = slices.DeleteFunc(messages, func(m json.RawMessage) bool {
		var label struct{ ID string }
		return json.Unmarshal(m, &label) == nil && gone[label.ID]
	})
	if len(messages) == n {
		return truth, nil
	}
	var err error
	if members["messages"], err = json.Marshal(messages); err != nil {
		return nil, err
	}
	return json.MarshalIndent(members, "", " ")
}
