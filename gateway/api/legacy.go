package api

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/valyala/fasthttp"

	"sluice/codec"
)

// serveLegacy answers the endpoint that takes a sequence of commands
// (PROTOCOL 7.11). A command that cannot be read makes the whole answer 400,
// but those before it have been executed.
func (s *Server) serveLegacy(ctx *fasthttp.RequestCtx, c *call, body []byte) {
	if len(body) == 0 {
		s.badRequest(ctx, c.id, "", &codec.FieldError{Want: "at least one command"})
		return
	}
	within, cancel := s.deadline(nil)
	defer cancel()
	decoder := codec.NewLegacyDecoder(body, s.opt.Limits)
	c.ctx = within
	if len(body) >= smallBody || len(body)/commandBytes > s.opt.MaxCommands {
		n := decoder.Count()
		if n > s.opt.MaxCommands {
			s.badRequest(ctx, c.id, "", &codec.FieldError{Want: fmt.Sprintf("at most %d commands (http_api.max_batch_commands)", s.opt.MaxCommands)})
			return
		}
		if fail := c.hold.take(within, int64(n)*legacyCost); fail != nil {
			s.note(c.id, "", fail)
			s.answerError(ctx, c, fail)
			return
		}
	}
	c.dst = ctx.Response.SwapBody(nil)[:0]
	for i, last := 0, false; !last; i++ {
		cmd, err := decoder.Next()
		if errors.Is(err, io.EOF) {
			break // nothing but blanks
		}
		if err == nil {
			if last = decoder.Last(); last || i == 0 {
				s.decoded(ctx, last)
			}
			if i > 0 {
				c.dst = append(c.dst, '\n')
			}
			err = s.legacyCommand(c, i, cmd)
		}
		if err != nil {
			s.badRequest(ctx, c.id, "", err)
			return
		}
	}
	answer(ctx, c)
}

// legacyCommand runs one command and appends its reply. The error is that the
// command names a method that nobody knows.
func (s *Server) legacyCommand(c *call, i int, cmd *codec.LegacyCommand) error {
	m := s.numbers[cmd.Number]
	if cmd.Name != "" {
		m = s.methods[cmd.Name]
		if (m == nil || m.number == noNumber) && !notServed[cmd.Name] {
			return &codec.FieldError{Field: "method", Want: "the name of a method"}
		}
	}
	c.dst = append(c.dst, '{')
	if cmd.ID != 0 {
		c.dst = append(c.dst, `"id":`...)
		c.dst = strconv.AppendUint(c.dst, uint64(cmd.ID), 10)
		c.dst = append(c.dst, ',')
	}
	reply := len(c.dst)
	c.dst = append(c.dst, `"result":`...)
	if fail := s.legacyRun(c, m, cmd.Params); fail != nil {
		if fail.detail != "" && c.detail == "" {
			c.detail = fmt.Sprintf("command %d: %s", i, fail.detail)
		}
		c.dst = append(c.dst[:reply], `"error":`...)
		c.dst = codec.AppendError(c.dst, fail.err)
	}
	c.dst = append(c.dst, '}')
	return nil
}

func (s *Server) legacyRun(c *call, m *method, params []byte) *failure {
	if m == nil {
		return refuse(codec.ErrNotFound, "method: one that is served expected")
	}
	if m.noParams {
		params = []byte("null")
	}
	inner := call{ctx: c.ctx, id: c.id, hold: c.hold, dst: c.dst}
	if fail := s.admit(&inner, m, params); fail != nil {
		return fail
	}
	req, err := m.decode(params, s.opt.Limits)
	if err != nil {
		return refuse(codec.ErrBadRequest, "params: "+codec.Detail(err))
	}
	fail := s.run(m, &inner, req)
	c.dst = inner.dst
	if inner.detail != "" && c.detail == "" {
		c.detail = inner.detail
	}
	return fail
}
