package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/cluster"
	"sluice/gateway/reference"
)

func inspect(t *testing.T, by *member, question string) cluster.Inspection {
	t.Helper()
	in, err := by.Inspect(t.Context(), []byte(question))
	require.NoError(t, err)
	return in
}

func names(nodes []cluster.Info) (all []string) {
	for _, n := range nodes {
		all = append(all, n.Name)
	}
	return all
}

func TestConsolesOfOtherNodesAnswer(t *testing.T) {
	run(t, 3, func(t *testing.T, fl *fleet) {
		in := inspect(t, fl.members[0], `{"op": "<now>"}`)
		require.Empty(t, in.Silent)
		require.Empty(t, in.Without)
		require.Len(t, in.Answers, 2)
		for _, a := range in.Answers {
			require.Equal(t, "uid-"+a.Name, a.UID)
			require.JSONEq(t, fmt.Sprintf(`{"of":%q,"was":{"op":"<now>"}}`, a.Name), string(a.Answer))
		}
		require.Empty(t, fl.members[0].local.done(), "who asks looks at itself in its own way")
	})
}

func TestWhoCannotBeInspectedIsNamed(t *testing.T) {
	runFleet(t, &fleet{bare: map[string]bool{"uid-n1": true}}, 5, func(t *testing.T, fl *fleet) {
		fl.members[2].local.set(func(l *local) { l.fail = errors.New("broken") })
		fl.members[3].carrier.Freeze(true)
		began := time.Now()
		in := inspect(t, fl.members[0], `1`)
		require.LessOrEqual(t, time.Since(began), time.Second)
		require.Equal(t, []string{"n1", "n2"}, names(in.Without))
		require.Equal(t, []string{"n3"}, names(in.Silent))
		require.Equal(t, "1", in.Silent[0].Version)
		require.Equal(t, "uid-n3", in.Silent[0].UID)
		require.Len(t, in.Answers, 1)
		began = time.Now()
		inspect(t, fl.members[0], `1`)
		require.Less(t, time.Since(began), time.Second, "who missed an answer is not waited for again")
		require.NotContains(t, fl.said.String(), "did not answer", "somebody who looks every few seconds is no reason for a line each")
		require.NotContains(t, fl.said.String(), "level=WARN")
		fl.members[3].carrier.Freeze(false)
		synctest.Wait()
		time.Sleep(5 * time.Second)
		require.Empty(t, inspect(t, fl.members[0], `1`).Silent)
	})
}

// A node from before there were consoles refuses what it does not know.
func TestAnOlderNodeIsNamed(t *testing.T) {
	run(t, 1, func(t *testing.T, fl *fleet) {
		old := fl.net.Carrier("old")
		id := 0
		say := func(subject, kind, data string) {
			id++
			require.NoError(t, old.Send(t.Context(), subject, fmt.Appendf(nil, `{"v":1,"from":"uid-old","id":%d,"kind":%q,"data":%s}`, id, kind, data)))
		}
		require.NoError(t, old.Listen(t.Context(), []string{cluster.SubjectAll}, func(_ string, payload []byte) {
			var m struct {
				From string `json:"from"`
				ID   uint64 `json:"id"`
				Kind string `json:"kind"`
			}
			require.NoError(t, json.Unmarshal(payload, &m))
			if m.Kind == "inspect" {
				go say("sluice.node."+m.From, "answer", fmt.Sprintf(`{"to":%d,"error":"this node is older: it does not know what a inspect is"}`, m.ID))
			}
		}))
		say(cluster.SubjectAll, "announce", `{"name":"old","version":"0.0"}`)
		synctest.Wait()
		in := inspect(t, fl.members[0], `{}`)
		require.Equal(t, []string{"old"}, names(in.Without))
		require.Empty(t, in.Silent)
		require.Empty(t, in.Answers)
	})
}

func TestInspectionsAreBounded(t *testing.T) {
	run(t, 2, func(t *testing.T, fl *fleet) {
		_, err := fl.members[0].Inspect(t.Context(), []byte(`"`+strings.Repeat("x", 256<<10)+`"`))
		require.ErrorIs(t, err, cluster.ErrTooLarge)
		fl.members[1].local.set(func(l *local) { l.name = strings.Repeat("x", 1<<20) })
		require.Equal(t, []string{"n1"}, names(inspect(t, fl.members[0], `1`).Without), "what is too large is none")
		fl.members[1].local.set(func(l *local) { l.panics = true })
		require.Equal(t, []string{"n1"}, names(inspect(t, fl.members[0], `1`).Without))
	})
}

func TestWhoIsAloneAsksNobody(t *testing.T) {
	alone := cluster.New(cluster.Options{UID: "a", Local: &local{}})
	in, err := alone.Inspect(t.Context(), []byte(`1`))
	require.NoError(t, err)
	require.Zero(t, in)
	require.Empty(t, alone.References())
	run(t, 1, func(t *testing.T, fl *fleet) {
		sent := fl.members[0].Stats().Sent["inspect"]
		require.Empty(t, inspect(t, fl.members[0], `1`).Answers)
		require.Equal(t, sent, fl.members[0].Stats().Sent["inspect"], "with nobody there nothing goes out")
	})
}

func TestNodesOfTheReferenceAreNotInspected(t *testing.T) {
	runFleet(t, &fleet{mixed: true}, 2, func(t *testing.T, fl *fleet) {
		p := fl.peer(nodeA)
		p.send("control", &reference.Command{Node: &reference.Node{UID: nodeA, Name: "theirs", Version: "6"}})
		synctest.Wait()
		require.Equal(t, []string{"theirs"}, names(fl.members[0].References()))
		before := len(p.payloads)
		require.Len(t, inspect(t, fl.members[0], `1`).Answers, 1)
		synctest.Wait()
		require.Len(t, p.payloads, before, "they would not know what it is")
	})
}
