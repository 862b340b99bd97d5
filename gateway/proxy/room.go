package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/sync/semaphore"

	"sluice/gateway/auth"
)

const (
	// smallAnswer is up to which length answers are read without room: nearly all are.
	smallAnswer = 64 << 10
	// answerFactor is how many times its length an answer takes until it is decoded.
	answerFactor = 5
	// answersAtOnce bounds the memory of large answers that are being read and decoded.
	answersAtOnce = 24 << 20
)

// answerRoom is the room for large answers, from when they are read until they are decoded:
// a backend that gives all connects of a storm large ones takes memory for a few of them.
type answerRoom struct{ sem *semaphore.Weighted }

func newAnswerRoom() *answerRoom { return &answerRoom{semaphore.NewWeighted(answersAtOnce)} }

// read reads an answer of at most auth.MaxAnswer bytes, and calls leave when it was decoded.
// What is longer is not read. It waits for room until ctx ends.
func (r *answerRoom) read(ctx context.Context, resp *http.Response, stats *Stats) (answer []byte, leave func(), err error) {
	n := resp.ContentLength // -1 if it is not known
	if n > auth.MaxAnswer {
		return nil, nil, fmt.Errorf("%d bytes of an answer: at most %d expected", n, auth.MaxAnswer)
	}
	answer = make([]byte, 0, min(max(n, 512), smallAnswer)+1)
	if answer, err = readUpTo(answer, resp.Body, smallAnswer); err != nil || len(answer) <= smallAnswer {
		return answer, func() {}, err
	}
	if n < 0 {
		n = auth.MaxAnswer
	}
	if !r.sem.TryAcquire(n * answerFactor) {
		stats.Waiting.Add(1)
		defer stats.Waiting.Add(-1)
		if err := r.sem.Acquire(ctx, n*answerFactor); err != nil {
			return nil, nil, fmt.Errorf("a large answer, and no memory came free to decode it: %w", err)
		}
	}
	leave = func() { r.sem.Release(n * answerFactor) }
	if answer, err = readUpTo(append(make([]byte, 0, n+1), answer...), resp.Body, auth.MaxAnswer); err == nil && len(answer) > auth.MaxAnswer {
		err = fmt.Errorf("more than %d bytes of an answer", auth.MaxAnswer)
	}
	if err != nil {
		leave()
		return nil, nil, err
	}
	return answer, leave, nil
}

// readUpTo appends what body has to dst, up to one byte more than most in all.
func readUpTo(dst []byte, body io.Reader, most int) ([]byte, error) {
	for len(dst) <= most {
		if len(dst) == cap(dst) {
			grown := make([]byte, len(dst), min(2*cap(dst), most+1))
			copy(grown, dst)
			dst = grown
		}
		n, err := body.Read(dst[len(dst):min(cap(dst), most+1)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return dst, nil
}
