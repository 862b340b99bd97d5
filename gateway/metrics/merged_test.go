package metrics

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/tally"
)

// What one loop counted is in the sum of all, field by field: one that Add or Merge forgets
// is a metric that stays 0.
func TestEveryNumberOfALoopIsInTheSum(t *testing.T) {
	var one, sum LoopState
	fill(t, reflect.ValueOf(&one).Elem())
	sum.Loop.Add(&one.Loop)
	sum.Shard.Merge(&one.Shard)
	sum.Sessions.Merge(&one.Sessions)
	require.Equal(t, one, sum)
}

// fill makes every number in v something other than 0.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	if d, ok := v.Addr().Interface().(*tally.Durations); ok {
		d.Add(time.Second)
		return
	}
	switch {
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case v.Kind() == reflect.Map:
		value := reflect.New(v.Type().Elem()).Elem()
		fill(t, value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), value)
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	default:
		require.Fail(t, "a number, or what holds some, expected", "got %s", v.Type())
	}
}
