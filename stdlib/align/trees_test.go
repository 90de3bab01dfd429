package align

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
)

// xorRows are rows in which features 0 and 1 tell together what neither tells alone. Parts and stretches go round.
func xorRows(n int) []treeRow {
	r := rand.New(rand.NewPCG(5, 5))
	rows := make([]treeRow, n)
	for i := range rows {
		q := &rows[i]
		for f := range q.x.v {
			q.x.v[f] = float64(r.IntN(4))
		}
		q.weight, q.stretch = 1, int32(i%50)
		q.parts = [2]int8{int8(i % treeParts), int8(i % treeParts)}
		p := 0.2
		if (q.x.v[0] > 1) != (q.x.v[1] > 1) {
			p = 0.8
		}
		if r.Float64() < p {
			q.answers = 1
		}
	}
	return rows
}

func TestTreesLearnWhatASumCannot(t *testing.T) {
	rows := xorRows(4000)
	cuts := binRows(rows)
	trees := grow(rows, cuts, 0)
	var loss, alone float64
	seen := 0.0
	for i := range rows {
		q := &rows[i]
		if q.parts[0] != 0 {
			continue
		}
		z := 0.0
		for k := range trees {
			z += trees[k].at(&q.x)
		}
		loss, alone, seen = loss+q.loss(z), alone+q.loss(0), seen+1
	}
	best := -(0.8*math.Log(0.8) + 0.2*math.Log(0.2)) // nats a row that no model can save
	if loss/seen > best+0.03 || alone/seen < 0.69 {
		t.Errorf("held-out loss %.3f, %.3f without trees; the least there is is %.3f", loss/seen, alone/seen, best)
	}
}

func TestTreesNeverSeeTheirPart(t *testing.T) {
	rows := xorRows(2000)
	cuts := binRows(rows)
	print := func() string {
		b, err := json.Marshal(leaves(grow(rows, cuts, 2)))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := print()
	for i := range rows {
		if rows[i].parts[0] == 2 {
			rows[i].answers = 1 - rows[i].answers
		}
	}
	if print() != before {
		t.Error("outcomes of targets in the part changed its trees")
	}
	for i := range rows {
		if rows[i].parts[0] == 1 {
			rows[i].parts[1] = 2
		}
	}
	if print() == before {
		t.Error("rows whose speech lies in the part are learned from")
	}
}

func leaves(trees []tree) (out [][1 << treeDepth]float64) {
	for i := range trees {
		out = append(out, trees[i].leaf)
	}
	return out
}

func TestNothingToAsk(t *testing.T) {
	rows := make([]treeRow, 100)
	for i := range rows {
		rows[i] = treeRow{weight: 1, answers: float64(i % 2), parts: [2]int8{1, 1}}
	}
	if trees := grow(rows, binRows(rows), 0); len(trees) != 0 {
		t.Errorf("%d trees of equal rows", len(trees))
	}
	if trees := grow(rows, binRows(rows), 1); len(trees) != 0 {
		t.Errorf("%d trees of no rows", len(trees))
	}
}

func TestBinsAreAboveTheirCuts(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	rows := make([]treeRow, 500)
	for i := range rows {
		rows[i].x.v[0] = r.NormFloat64()
		rows[i].x.v[1] = float64(r.IntN(3))
		rows[i].x.v[2] = math.Max(0, r.NormFloat64()) // half of them the same
	}
	cuts := binRows(rows)
	for i := range rows {
		for f := range cuts {
			above := 0
			for _, c := range cuts[f] {
				if rows[i].x.v[f] > c {
					above++
				}
			}
			if int(rows[i].bin[f]) != above || above >= treeBins {
				t.Fatalf("feature %d is %v, above %d of %v: bin %d", f, rows[i].x.v[f], above, cuts[f], rows[i].bin[f])
			}
		}
	}
	if len(cuts[0]) != treeBins-1 || len(cuts[1]) != 2 || len(cuts[3]) != 0 {
		t.Errorf("%d, %d and %d cuts", len(cuts[0]), len(cuts[1]), len(cuts[3]))
	}
}
