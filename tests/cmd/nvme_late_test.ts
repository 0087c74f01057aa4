/**
 * The NVMe drive of the laboratory writes late: the attacks of
 * tests/attack/late_test.ts, in a file that guests run.
 */

import { testAttacks } from "../attack/late/assault.ts";
import { DRIVE } from "../attack/late/writers.ts";

testAttacks(DRIVE);
