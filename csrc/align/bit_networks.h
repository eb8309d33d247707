// Cells as networks of logic operations, the smallest that a search found: v and h become those of
// the cell (bit_cell.h), plane 0 first. The first operand of an operation on three planes is the
// one that is there last, with h later than v and the tokens: on Zen 4 one of 512 bits that waits
// for its second or third operand takes a cycle, others half of one.
#pragma once

namespace neurn::align::NEURN_ISA {

// Bit 4 a + 2 b + c of `table`, bit by bit.
template <int table>
struct Table {
  template <class T>
  NEURN_INLINE constexpr T operator()(T a, T b, T c) const {
    T out{};
    if (table & 1) out |= ~a & ~b & ~c;
    if (table & 2) out |= ~a & ~b & c;
    if (table & 4) out |= ~a & b & ~c;
    if (table & 8) out |= ~a & b & c;
    if (table & 16) out |= a & ~b & ~c;
    if (table & 32) out |= a & ~b & c;
    if (table & 64) out |= a & b & ~c;
    if (table & 128) out |= a & b & c;
    return out;
  }
};
template <int table>
NEURN_INLINE Bits look_up(Bits a, Bits b, Bits c) {
  return logic(Table<table>(), a, b, c);
}

// Equal 5 and unequal 2, by operations on three planes: 12.
NEURN_INLINE void published_ternary(Bits* v, Bits* h, Bits differ) {
  const Bits v0 = v[0], v1 = v[1], v2 = v[2], h0 = h[0], h1 = h[1], h2 = h[2];
  const Bits t0 = look_up<0x04>(h2, differ, v2);
  const Bits t1 = look_up<0x1b>(t0, h2, h1);
  const Bits t2 = look_up<0xc4>(t1, differ, h0);
  const Bits t3 = look_up<0xe4>(t0, v2, v1);
  const Bits t4 = look_up<0x25>(t2, t3, v0);
  const Bits t5 = v0 & t4;
  const Bits t6 = look_up<0x16>(t5, v1, t0);
  const Bits t7 = look_up<0x81>(t6, t5, t3);
  const Bits t8 = look_up<0x96>(t4, v0, h0);
  const Bits t9 = h0 & t8;
  const Bits t10 = look_up<0x16>(t9, t0, h1);
  const Bits t11 = look_up<0x46>(t10, t9, t1);
  v[0] = t8;
  v[1] = t10;
  v[2] = t11;
  h[0] = t4;
  h[1] = t6;
  h[2] = t7;
}

// By operations on two planes: 24.
NEURN_INLINE void published_binary(Bits* v, Bits* h, Bits differ) {
  const Bits v0 = v[0], v1 = v[1], v2 = v[2], h0 = h[0], h1 = h[1], h2 = h[2];
  const Bits t0 = differ & ~v2;
  const Bits t1 = t0 & ~h2;
  const Bits t2 = v1 | v2;
  const Bits t3 = t2 & v0;
  const Bits t4 = ~t1;
  const Bits t5 = differ & ~t3;
  const Bits t6 = t0 ^ t4;
  const Bits t7 = h2 | h1;
  const Bits t8 = t4 & ~t7;
  const Bits t9 = t1 ^ h1;
  const Bits t10 = t7 & ~t9;
  const Bits t11 = t6 & ~t5;
  const Bits t12 = t10 & h0;
  const Bits t13 = t11 | t12;
  const Bits t14 = h0 ^ t13;
  const Bits t15 = t13 ^ v0;
  const Bits t16 = t1 ^ v1;
  const Bits t17 = t15 & v0;
  const Bits t18 = t17 ^ t16;
  const Bits t19 = h0 & ~t13;
  const Bits t20 = t9 ^ t19;
  const Bits t21 = t8 & ~t19;
  const Bits t22 = t4 & ~t18;
  const Bits t23 = t22 & ~t2;
  v[0] = t14;
  v[1] = t20;
  v[2] = t21;
  h[0] = t15;
  h[1] = t18;
  h[2] = t23;
}

// Any score s in two planes: 9.
NEURN_INLINE void two_planes_ternary(Bits* v, Bits* h, const Bits* s) {
  const Bits v0 = v[0], v1 = v[1], h0 = h[0], h1 = h[1], s0 = s[0], s1 = s[1];
  const Bits t0 = s1 & s0;
  const Bits t1 = look_up<0x54>(h1, s1, v1);
  const Bits t2 = look_up<0x51>(h1, s0, h0);
  const Bits t3 = look_up<0x14>(t1, v1, h1);
  const Bits t4 = look_up<0x2b>(t3, t2, t0);
  const Bits t5 = look_up<0x38>(t4, v0, t1);
  const Bits t6 = look_up<0x6c>(t5, t1, v0);
  const Bits t7 = look_up<0x96>(t5, v0, h0);
  const Bits t8 = look_up<0x6c>(t7, t3, h0);
  v[0] = t7;
  v[1] = t8;
  h[0] = t5;
  h[1] = t6;
}

// By operations on two planes: 16.
NEURN_INLINE void two_planes_binary(Bits* v, Bits* h, const Bits* s) {
  const Bits v0 = v[0], v1 = v[1], h0 = h[0], h1 = h[1], s0 = s[0], s1 = s[1];
  const Bits t0 = s1 | h1;
  const Bits t1 = t0 & ~v1;
  const Bits t2 = v0 & ~t1;
  const Bits t3 = v1 | t0;
  const Bits t4 = t3 ^ h1;
  const Bits t5 = h0 & ~t4;
  const Bits t6 = t2 | t5;
  const Bits t7 = t3 & ~s1;
  const Bits t8 = s0 & ~t7;
  const Bits t9 = t6 | t8;
  const Bits t10 = h0 ^ t9;
  const Bits t11 = h0 & ~t9;
  const Bits t12 = t4 ^ t11;
  const Bits t13 = t9 ^ v0;
  const Bits t14 = t13 & ~t9;
  const Bits t15 = t1 ^ t14;
  v[0] = t10;
  v[1] = t12;
  h[0] = t13;
  h[1] = t15;
}

// Any score s in three planes: 18.
NEURN_INLINE void three_planes_ternary(Bits* v, Bits* h, const Bits* s) {
  const Bits v0 = v[0], v1 = v[1], v2 = v[2], h0 = h[0], h1 = h[1], h2 = h[2], s0 = s[0], s1 = s[1],
             s2 = s[2];
  const Bits t0 = look_up<0x8e>(h1, s1, s0);
  const Bits t1 = look_up<0xd4>(t0, s2, h2);
  const Bits t2 = look_up<0x60>(t1, s1, h1);
  const Bits t3 = look_up<0x96>(t2, v1, h1);
  const Bits t4 = look_up<0x53>(t1, h0, s0);
  const Bits t5 = look_up<0x78>(t3, v0, t4);
  const Bits t6 = look_up<0xa9>(h2, s2, v2);
  const Bits t7 = look_up<0x27>(t5, v1, t3);
  const Bits t8 = look_up<0xd1>(t7, t6, v2);
  const Bits t9 = look_up<0x90>(t8, t4, v0);
  const Bits t10 = look_up<0x96>(t9, v0, h0);
  const Bits t11 = look_up<0x59>(t8, t3, t2);
  const Bits t12 = look_up<0x95>(t10, h0, t11);
  const Bits t13 = look_up<0x1d>(t12, t11, h1);
  const Bits t14 = t13 & ~h2;
  const Bits t15 = look_up<0x10>(t7, v2, t6);
  const Bits t16 = look_up<0xd2>(t14, v2, t6);
  const Bits t17 = look_up<0xd8>(t9, t5, t8);
  v[0] = t10;
  v[1] = t12;
  v[2] = t16;
  h[0] = t9;
  h[1] = t17;
  h[2] = t15;
}

}  // namespace neurn::align::NEURN_ISA
