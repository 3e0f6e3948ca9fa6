/** The accounts whose id comes after `after`, up to `through`: a page of a walk through all of them. */
export type AccountRange = { after: string; through: string }
