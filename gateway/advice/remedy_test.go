package advice

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

type cured string

func (cured) Error() string    { return "ill" }
func (c cured) Remedy() string { return string(c) }

func TestAnErrorThatKnowsItsRemedyIsAsked(t *testing.T) {
	require.Equal(t, "rest", Remedy(fmt.Errorf("worse: %w", cured("rest")), Away))
	require.Equal(t, Away, Remedy(cured(""), Away))
	require.Equal(t, Away, Remedy(errors.New("ill"), Away))
	require.Equal(t, Away, Remedy(nil, Away))
}
