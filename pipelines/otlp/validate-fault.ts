/** Why an item is refused. The order is that of `faultNames`. */
export const NO_FAULT = 0;
export const FAULT_TRACE_ID = 1;
export const FAULT_SPAN_ID = 2;
export const FAULT_PARENT_ID = 3;
export const FAULT_LINK_ID = 4;
export const FAULT_EXEMPLAR_ID = 5;
export const FAULT_UTF8 = 6;
export const FAULT_ATTRIBUTES = 7;
export const FAULT_NESTING = 8;
export const FAULT_TIMESTAMP = 9;
export const FAULT_EVENTS = 10;
export const faultNames = [
  'none',
  'trace_id',
  'span_id',
  'parent_id',
  'link_id',
  'exemplar_id',
  'utf8',
  'attributes',
  'nesting',
  'timestamp',
  'events',
] as const;
