/** Where the scheduler gets delivery status notifications: see the contract. */
export type { MadeNotice, NoticeAbout, NoticeRequest, Notices } from "../delivery/bounce/notices.ts";
