package http1

func (r *Request) parse(buf []byte, lim Limits) (int, *Error)  { return 0, nil }
func (r *Response) parse(buf []byte, lim Limits) (int, *Error) { return 0, nil }
