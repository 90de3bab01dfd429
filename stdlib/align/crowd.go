package align

import (
	"cmp"
	"slices"
)

// crowdShare is the share of the messages of either stream whose authors write in both, from which on two streams are
// taken to have one crowd.
const crowdShare = 0.15

// crowds parts streams by who writes in them. What is learned about texts, authors and delays is learned per crowd: streams
// of one channel help one another, and a stream of another channel changes nothing. Streams and groups are in order of id.
func crowds(in []Input) [][]*Input {
	order := make([]*Input, len(in))
	for i := range in {
		order[i] = &in[i]
	}
	slices.SortStableFunc(order, func(a, b *Input) int { return cmp.Compare(a.Stream, b.Stream) })
	posts := make([]map[string]int, len(order)) // messages by author
	for i, s := range order {
		posts[i] = map[string]int{}
		for k := range s.Messages {
			posts[i][authorKey(&s.Messages[k].Author)]++
		}
	}
	group := make([]int, len(order)) // the first stream of the group
	for i := range order {
		group[i] = i
		for k := range i {
			if group[k] != group[i] && sameCrowd(posts[i], posts[k], len(order[i].Messages), len(order[k].Messages)) {
				from, to := max(group[i], group[k]), min(group[i], group[k])
				for j := range i + 1 {
					if group[j] == from {
						group[j] = to
					}
				}
			}
		}
	}
	var out [][]*Input
	for first := range order {
		var g []*Input
		for i := range order {
			if group[i] == first {
				g = append(g, order[i])
			}
		}
		if len(g) > 0 {
			out = append(out, g)
		}
	}
	return out
}

func sameCrowd(a, b map[string]int, na, nb int) bool {
	var inA, inB int
	for author, n := range a {
		if m := b[author]; m > 0 {
			inA += n
			inB += m
		}
	}
	return float64(inA) >= crowdShare*float64(max(1, na)) && float64(inB) >= crowdShare*float64(max(1, nb))
}
