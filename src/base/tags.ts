/** Whether a runner takes a job with these tags: it has every one of them, or takes jobs without any. @see GitLab: "Runner tags" */
export function tagsFit(tags: readonly string[], runner: { readonly tags: readonly string[]; readonly runUntagged: boolean }): boolean {
  return tags.length === 0 ? runner.runUntagged : tags.every((tag) => runner.tags.includes(tag));
}
