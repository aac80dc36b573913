package main

import (
	"encoding/json"
	"testing"
)

func TestBenchSignaling(t *testing.T) {
	t.Parallel()
	r := duet(t.Context(), nil, "bench", "signaling", "--calls", "1,10", "--duration", "500ms", "--json")
	var v signalingReport
	if err := json.Unmarshal([]byte(r.out.String()), &v); r.code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s%s", r.code, err, r.out, r.err)
	}
	if len(v.Rows) != 2 || v.Fsyncs <= 0 || v.Transition[1] <= 0 {
		t.Errorf("report %+v", v)
	}
	for _, row := range v.Rows {
		if row.SetUps <= 0 || row.P50 <= 0 || row.P99 < row.P50 || row.Events < 5 || row.Entries <= 0 {
			t.Errorf("%d calls: %+v", row.Calls, row)
		}
	}
}
