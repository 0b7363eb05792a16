package kernel

// LSTMForward computes units lo … hi-1 of one time step of an LSTM cell from
// its pre-activations.
//
//	i = σ(x_i + a_i)   f = σ(x_f + a_f)   g = tanh(x_g + a_g)   o = σ(x_o + a_o)
//	c' = f·c + i·g     h' = o·tanh(c')
//
//	x     rows of (4H): W_ih·input + b_ih, gates i, f, g, o; batch row b reads
//	      row ids[b] of x, or row b where ids is nil
//	tmp   (B, TmpWidth): on entry a = W_hh·h + b_hh; on return i, f, g, o
//	c     (B, H)  cell before the step
//	cOut  (B, H)  cell after it; may be c
//	out   (B, H)  hidden after the step
//
// Nothing else may overlap.
func LSTMForward(x []float32, ids []int32, tmp, c, cOut, out []float32, B, H, lo, hi int) {
	n := whole(hi - lo)
	for b := 0; b < B; b++ {
		x, tmp := row(x, ids, b, 4*H), tmp[b*TmpWidth(H):(b+1)*TmpWidth(H)]
		c, cOut, out := c[b*H:(b+1)*H], cOut[b*H:(b+1)*H], out[b*H:(b+1)*H]
		if n > 0 {
			use.lstmForward(n, &x[lo], &x[H+lo], &x[2*H+lo], &x[3*H+lo],
				&tmp[lo], &tmp[H+lo], &tmp[2*H+lo], &tmp[3*H+lo], &c[lo], &cOut[lo], &out[lo])
		}
		lstmForward(x, tmp, c, cOut, out, H, lo+n, hi)
	}
}

func lstmForward(x, tmp, c, cOut, out []float32, H, lo, hi int) {
	for j := lo; j < hi; j++ {
		i := Sigmoid(x[j] + tmp[j])
		f := Sigmoid(x[H+j] + tmp[H+j])
		g := Tanh(x[2*H+j] + tmp[2*H+j])
		o := Sigmoid(x[3*H+j] + tmp[3*H+j])
		cell := FMA(f, c[j], i*g)
		cOut[j] = cell
		out[j] = o * Tanh(cell)
		tmp[j], tmp[H+j], tmp[2*H+j], tmp[3*H+j] = i, f, g, o
	}
}

// LSTMBackward turns the gates that LSTMForward left in tmp into gradients, for
// units lo … hi-1.
//
//	tmp   (B, TmpWidth): on entry i, f, g, o; on return the gradients of their
//	      pre-activations
//	c     (B, H)  cell before the step     cOut  (B, H)  cell after it
//	dout  (B, H)  gradient of the step's output
//	dh    (B, H)  gradient of the hidden after the step from later steps
//	dc    (B, H): on entry the gradient of cOut from later steps; on return the
//	      gradient of c
//
// Nothing may overlap.
func LSTMBackward(tmp, c, cOut, dout, dh, dc []float32, B, H, lo, hi int) {
	n := whole(hi - lo)
	for b := 0; b < B; b++ {
		tmp, c, cOut := tmp[b*TmpWidth(H):(b+1)*TmpWidth(H)], c[b*H:(b+1)*H], cOut[b*H:(b+1)*H]
		dout, dh, dc := dout[b*H:(b+1)*H], dh[b*H:(b+1)*H], dc[b*H:(b+1)*H]
		if n > 0 {
			use.lstmBackward(n, &tmp[lo], &tmp[H+lo], &tmp[2*H+lo], &tmp[3*H+lo], &c[lo], &cOut[lo], &dout[lo], &dh[lo], &dc[lo])
		}
		lstmBackward(tmp, c, cOut, dout, dh, dc, H, lo+n, hi)
	}
}

func lstmBackward(tmp, c, cOut, dout, dh, dc []float32, H, lo, hi int) {
	for j := lo; j < hi; j++ {
		i, f, g, o := tmp[j], tmp[H+j], tmp[2*H+j], tmp[3*H+j]
		tc := Tanh(cOut[j])
		h := dh[j] + dout[j]
		d := FMA(h*o, FMA(-tc, tc, 1), dc[j])
		tmp[j] = d * g * (i * (1 - i))
		tmp[H+j] = d * c[j] * (f * (1 - f))
		tmp[2*H+j] = d * i * FMA(-g, g, 1)
		tmp[3*H+j] = h * tc * (o * (1 - o))
		dc[j] = d * f
	}
}
